#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/compile/shared_constants.hpp"
#include "rulegrad/expr/expr.hpp"
#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad {

struct ProgramStats;  // run/program.hpp

/// How a constant comes from others.
struct Derivation {
  std::shared_ptr<const Kernel> kernel;
  Attributes attributes = {};
  DType dtype = DType::float32;
  Dims dims = {};
  std::vector<std::shared_ptr<class Constant>> operands = {};
  bool check_finite = true;
  bool flush_denormals = true;
  bool same_elements = false;  ///< operand 0 in another shape: nothing is computed
  std::int64_t block = 0;      ///< of the result's layout, as in ConstView

  friend bool operator==(const Derivation&, const Derivation&) = default;
};

/// A value that depends on no input and no batch: a stored array, or what kernels make of such. It knows how
/// to compute itself without its graph and holds no large memory of its own: programs keep what they read,
/// and the store what is idle.
class Constant {
 public:
  struct Counters {
    std::atomic<std::size_t> folds = 0, packs = 0, checks = 0;
  };
  Constant(Tensor stored, std::shared_ptr<Counters> counters);
  Constant(std::string label, Derivation derivation, std::shared_ptr<Counters> counters);

  /// As messages speak of it; empty for stored ones.
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] DType dtype() const { return derivation_.dtype; }
  [[nodiscard]] const Dims& dims() const { return derivation_.dims; }
  [[nodiscard]] std::int64_t block() const { return derivation_.block; }
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] bool is_stored() const { return stored_ != nullptr; }
  [[nodiscard]] const Derivation& derivation() const { return derivation_; }
  /// Its memory is that of a stored array.
  [[nodiscard]] bool owns_nothing() const;

  /// The elements, computed if nobody holds them.
  [[nodiscard]] std::shared_ptr<const Tensor> value();
  /// False: it has never been computed, so that computing it may still fail.
  [[nodiscard]] bool computed_before() const { return is_stored() || computed_; }

  /// What the recipe makes of the elements, made if nobody holds it.
  [[nodiscard]] ConstantForm form(const AnyFormRecipe& recipe);

  /// Throws Error(non_finite) for a stored array that holds NaN or infinity; looks through it once.
  void require_finite(const std::string& label);
  /// False: that has been done.
  [[nodiscard]] bool may_be_non_finite() const { return !known_finite_; }
  void note_finite() { known_finite_ = true; }

 private:
  [[nodiscard]] std::shared_ptr<const Tensor> computed();

  std::string label_;
  Derivation derivation_;
  std::shared_ptr<const Tensor> stored_;
  std::shared_ptr<Counters> counters_;
  std::atomic<bool> known_finite_ = false, computed_ = false;

  std::mutex value_mutex_, forms_mutex_;  // a form asks for the value while it is made
  std::weak_ptr<const Tensor> value_;
  struct WeakForm {
    AnyFormRecipe recipe;
    std::weak_ptr<const void> value;
    std::size_t bytes = 0;
  };
  std::vector<WeakForm> forms_;
};

/// Memory that a program keeps, by its address.
struct KeptMemory {
  const void* address = nullptr;
  std::shared_ptr<Constant> constant;
  std::shared_ptr<const void> value;
  std::size_t bytes = 0;
  bool is_form = false;
};
using KeptByAddress = std::map<const void*, KeptMemory>;
void add_bytes(const KeptByAddress& kept, ProgramStats& stats);

/// The constants of one graph. Stored arrays are found by their buffer (tiny ones by content), derived ones
/// by what they derive from, so that excerpts of the graph find them too. Stored arrays stay as long as the
/// store, as they do in the graph; derived ones as long as something holds them.
class ConstantStore {
 public:
  [[nodiscard]] std::shared_ptr<Constant> stored(const Tensor& value);
  [[nodiscard]] std::shared_ptr<Constant> derived(Derivation derivation, const std::string& label);

  /// Notes that a program reads this memory.
  void note(const KeptMemory& memory);
  /// Frees idle memory beyond `most` bytes, the oldest first.
  void trim(std::size_t most = std::size_t{512} << 20);
  [[nodiscard]] SharedConstants use() const;

  /// Held by whoever makes explanations or programs of the graph, which adds nodes to it, from beginning to
  /// end. Recursive: a loop's body is compiled within its program, and a program within an explainer.
  [[nodiscard]] std::unique_lock<std::recursive_mutex> building() { return std::unique_lock(building_); }

 private:
  std::recursive_mutex building_;
  mutable std::mutex mutex_;
  std::shared_ptr<Constant::Counters> counters_ = std::make_shared<Constant::Counters>();
  std::unordered_multimap<std::size_t, std::shared_ptr<Constant>> stored_;
  std::unordered_multimap<std::size_t, std::weak_ptr<Constant>> derived_;
  std::size_t purge_at_ = 1024;  ///< derived ones that are gone are forgotten at this size

  std::list<KeptMemory> memory_;  ///< latest last
  std::unordered_map<const void*, std::list<KeptMemory>::iterator> place_;
};

/// That of the graph, made if there is none yet.
[[nodiscard]] std::shared_ptr<ConstantStore> store_of(Graph& graph);
/// An excerpt of a graph uses the store of the whole.
void share_store(Graph& excerpt, Graph& whole);

}  // namespace rulegrad
