#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/expr/schema.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Memory of one operand during a kernel call: concrete extents, contiguous, row-major unless the kernel
/// asked for something else: with a `block`, axis 1 (the channels, a multiple of it) is split and its inner
/// part is the innermost axis in memory, [N, C / block, spatial..., block].
struct ConstView {
  DType dtype;
  std::span<const std::int64_t> dims;
  const std::byte* data;
  std::int64_t block = 0;

  /// The elements; T must be the stored type.
  template <class T>
  [[nodiscard]] const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }  ///< elements
};
/// The same of the result, to be written.
struct MutableView {
  DType dtype;
  std::span<const std::int64_t> dims;
  std::byte* data;
  std::int64_t block = 0;

  /// The elements, not initialised; T must be the stored type.
  template <class T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data);
  }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }  ///< elements
};

/// One call of a kernel: every element of the result must be written.
struct KernelCall {
  std::span<const ConstView> operands;
  MutableView result;
  const Attributes& attributes;
  std::span<std::byte> scratch;
  /// Further results, of kernels that the planner made of several operations.
  std::span<const MutableView> others = {};
};

/// How exact contractions have to be.
enum class Precision : std::uint8_t {
  exact,  ///< sums of products: what is non-negative stays so
  fast,   ///< also Winograd's transforms, whose errors are those of the largest terms and may turn a zero
          ///< negative, and products of bfloat16 parts, off by some 2^-16 of the terms
  /// As `fast`; and where nothing asks for a sign, a zero or a size, contractions take their operands as bfloat16
  /// numbers, off by 2^-8 of the terms, which are added up in float32.
  bfloat16,
  /// `fast` if that changes no output by more than 1e-4 of its largest value, else `exact`: both are compiled
  /// and run on random values of four kinds for the inputs when the program is made. Kernels are told either.
  automatic,
};

/// What a kernel made of a constant operand ahead of all runs, as a packed weight is.
struct ConstantForm {
  std::shared_ptr<const void> value;
  std::size_t bytes = 0;  ///< of memory that it takes
};

/// How a form is made of a constant, as a value: `make` gets the constant and has nothing else but the
/// recipe's members, and recipes are compared as a whole (`= default`), so that two that are equal cannot
/// make different forms. A lambda with captures is none.
template <class R>
concept FormRecipe = std::copy_constructible<R> && std::equality_comparable<R> &&
    requires(const R& recipe, const ConstView& constant) {
  { recipe.make(constant) } -> std::same_as<ConstantForm>;
};

/// Any recipe. Recipes of different types are different.
class AnyFormRecipe {
 public:
  template <class R>
  requires(!std::same_as<R, AnyFormRecipe> && FormRecipe<R>) AnyFormRecipe(R recipe)
      : held_(std::make_shared<const Model<R>>(std::move(recipe))) {
  }  ///< any recipe is one; NOLINT(google-explicit-constructor)

  /// The form of this constant, which is row-major unless it says otherwise.
  [[nodiscard]] ConstantForm make(const ConstView& constant) const { return held_->make(constant); }
  friend bool operator==(const AnyFormRecipe& a, const AnyFormRecipe& b) { return a.held_->equals(*b.held_); }

 private:
  struct Held {
    virtual ~Held() = default;
    [[nodiscard]] virtual ConstantForm make(const ConstView& constant) const = 0;
    [[nodiscard]] virtual bool equals(const Held& other) const = 0;
  };
  template <class R>
  struct Model final : Held {
    explicit Model(R r) : recipe(std::move(r)) {}
    [[nodiscard]] ConstantForm make(const ConstView& constant) const override {
      return recipe.make(constant);
    }
    [[nodiscard]] bool equals(const Held& other) const override {
      const auto* same = dynamic_cast<const Model*>(&other);
      return same != nullptr && same->recipe == recipe;
    }
    R recipe;
  };
  std::shared_ptr<const Held> held_;
};

/// The operands of a kernel that are the same in all runs, and what kernels make of them ahead: packed
/// weights. Programs of one graph share both: a form by the operand and the whole of its recipe.
class ConstantOperands {
 public:
  /// True if the operand has the same elements in all runs.
  [[nodiscard]] virtual bool is_constant(std::size_t operand) const = 0;
  /// The elements; null for an operand that is not constant. They need not exist: asking may compute them,
  /// and they stay as long as the plan does. Kernels that read a form alone say so (PreparedCall::unread) and
  /// do not ask.
  [[nodiscard]] virtual const std::byte* elements(std::size_t operand) = 0;
  /// What the recipe makes of the operand; made if there is none yet. The caller keeps what it gets.
  [[nodiscard]] virtual std::shared_ptr<const void> form(std::size_t operand,
                                                         const AnyFormRecipe& recipe) = 0;

 protected:
  ~ConstantOperands() = default;
};

/// What a kernel is told before the runs of a plan.
struct Preparation {
  const KernelCall& call;  ///< data pointers are null
  Precision precision = Precision::exact;
  ConstantOperands& constants;
  /// What is known of every element of the result, from the signs of the operands: low <= y <= high. Others
  /// rely on it; sums of products keep it by themselves, a kernel that computes otherwise has to restore it.
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};

/// A kernel made ready for calls of one form. Many threads may call it at once.
struct PreparedCall {
  std::function<void(const KernelCall&)> run;
  std::size_t scratch_bytes = 0;
  std::string implementation;  ///< as the library behind it calls it
  /// Constant operands whose elements calls do not read, as a form of them is kept: their pointers may be
  /// null.
  std::vector<std::size_t> unread = {};
};

/// The `block` of each operand and of the result; 0 is row-major.
struct Blocks {
  std::vector<std::int64_t> operands;
  std::int64_t result = 0;
};

/// Where element i of a result looks for what it needs: tells the executor what it may do around a kernel.
enum class Access : std::uint8_t {
  any,          ///< anywhere
  elementwise,  ///< at element i of operands that all have the shape of the result
  broadcast,    ///< the same after NumPy broadcasting to the result: operands may be smaller than the graph
                ///< says
};

/// How an operator is computed. It sees no sample axis: the executor maps over it.
struct Kernel {
  std::function<void(const KernelCall&)> run;
  /// Bytes of scratch memory a call of these shapes needs (its data pointers are null); empty: none.
  std::function<std::size_t(const KernelCall& shapes)> scratch;
  Access access = Access::any;
  /// The result may be written over an operand of its own shape and dtype that nobody reads later.
  bool in_place = false;
  /// A convolution or matrix product: counted by stats, checked for finite results.
  bool contraction = false;
  /// True if the result has the elements of operand 0 in the same order and may share its memory; empty:
  /// never.
  std::function<bool(std::span<const Type> operands, const Type& result, const Attributes&)> same_elements;
  /// The operands whose entries along axis 0 give the entries of the result along its axis 0, each for
  /// itself, while all other operands are shared: a batch. Samples of such a call are one larger batch. Empty
  /// or no operand: none.
  std::function<std::vector<std::size_t>(std::span<const Type> operands, const Type& result,
                                         const Attributes&)>
      rows;
  /// The axis of operand 0, which is the only one, at which rows begin: from there on each row of the result
  /// comes from the same row of the operand, with the same bits whatever other rows are computed with it, and
  /// is as long or one value (its extents there 1, or missing). The planner may call the kernel for some of
  /// the rows, extents {rows, 1, ...} before that axis. Empty or nothing: not so.
  std::function<std::optional<std::size_t>(std::span<const Type> operands, const Type& result,
                                           const Attributes&)>
      row_axis;
  /// Called when a plan is made; what it returns replaces `run` and `scratch` in this plan. Empty, or nothing
  /// returned: those are called.
  std::function<std::optional<PreparedCall>(const Preparation&)> prepare;
  /// The memory layouts that calls of these types should have, where operands now lie as `given` says. A
  /// kernel that asks for anything but row-major must prepare every such call, or do without knowing. Empty:
  /// row-major, unless `access` says that the kernel does not mind.
  std::function<Blocks(std::span<const Type> operands, std::span<const std::int64_t> given,
                       const Type& result, const Attributes&)>
      layouts;
};

/// Kernels by operator name: the portable ones, and whatever a program puts into a copy of its own (kernels
/// for operators it added, faster ones for some).
class Kernels {
 public:
  /// The kernels that ship and run everywhere.
  [[nodiscard]] static const Kernels& portable();
  /// Those with oneDNN's in place of the portable ones where it is faster: float32 convolutions and what
  /// stands between them. The portable ones where rulegrad was built without oneDNN.
  [[nodiscard]] static const Kernels& best();

  /// Adds or replaces the kernel of an operator.
  void set(std::string operator_name, Kernel kernel);
  /// Null if there is none.
  [[nodiscard]] std::shared_ptr<const Kernel> find(std::string_view operator_name) const;
  /// Throws Error(unknown_name) if there is none.
  [[nodiscard]] std::shared_ptr<const Kernel> at(std::string_view operator_name) const;
  /// Of the operators that have a kernel.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, std::shared_ptr<const Kernel>, std::less<>> by_name_;
};

}  // namespace rulegrad
