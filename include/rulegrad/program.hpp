#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/expr.hpp"

namespace rulegrad {

struct CompileOptions {
  /// Off: NaN and infinity pass; on: the first contraction, constant or input that holds one is an Error(non_finite)
  /// that names it.
  bool check_finite = true;
};

/// What a run may use and what it must not exceed.
struct RunOptions {
  int threads = 0;  ///< 0: as many as OpenMP gives
};

/// Values of the graph's inputs by name. Their leading extent decides the batch.
using Inputs = std::map<std::string, Tensor>;

/// What a program does and needs, for people and tests.
struct ProgramStats {
  std::size_t instructions = 0;
  std::size_t folded_constants = 0;   ///< values computed once, at compile time
  std::size_t folded_bytes = 0;
  std::size_t contractions = 0;       ///< convolutions and matrix products a run
  std::size_t arena_bytes = 0;        ///< of the plan asked about
  std::size_t unplanned_bytes = 0;    ///< what the same values would take without reuse
};

/// Expressions made ready to run: a flat list of kernel calls over planned memory. Immutable; many threads may run
/// it at once. It keeps what it needs of the graph, which may be gone when it runs.
class Program {
 public:
  [[nodiscard]] static Program compile(std::span<const Expr> outputs, const CompileOptions& options = {});

  /// One tensor for each output. Throws Error for missing or superfluous inputs, wrong dtypes, shapes, batch
  /// extents that disagree, and non-finite values.
  [[nodiscard]] std::vector<Tensor> run(const Inputs& inputs, const RunOptions& options = {}) const;

  [[nodiscard]] ProgramStats stats(const Extents& extents) const;
  /// A line an instruction: kernel, operands, where its result lives, what dies.
  [[nodiscard]] std::string print(const Extents& extents) const;

 private:
  struct Data;
  explicit Program(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

/// Evaluates expressions once: compile and run.
[[nodiscard]] std::vector<Tensor> evaluate(std::span<const Expr> outputs, const Inputs& inputs);

}  // namespace rulegrad
