#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/compile/compile_options.hpp"
#include "rulegrad/compile/shared_constants.hpp"
#include "rulegrad/expr/expr.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

class StagedProgram;

/// One kernel call of a run.
struct KernelReport {
  std::string_view operation;  ///< `conv`; operations that run as one are joined by '+'
  std::string_view label;      ///< the node: `conv 'features.0' float32[B, 64, 224, 224]`
  bool contraction = false;
  std::size_t bytes = 0;  ///< of its operands and results
  double milliseconds = 0;
};

/// What a run may use.
struct RunOptions {
  /// At most; 0: as many as OpenMP gives. Results depend on it by roundings at most (docs/precision.md).
  int threads = 0;
  /// Asked between kernel calls; a run that is to stop throws Error(cancelled).
  std::stop_token stop = {};
  /// Where a batch is cut into several runs: the position of this run's first entry. Random numbers depend on
  /// it, so that they do not depend on how the batch was cut.
  std::int64_t batch_offset = 0;
  /// Told of each kernel call when it is done. Empty: nothing is timed.
  std::function<void(const KernelReport&)> observe = {};
};

/// Values of the graph's inputs by name. Their extents decide the batch and the number of samples.
using Inputs = std::map<std::string, Tensor>;

/// Memory of the caller that a result is written to, row-major.
struct OutputBuffer {
  DType dtype = DType::float32;
  std::byte* data = nullptr;
  std::int64_t count = 0;  ///< elements

  OutputBuffer() = default;
  OutputBuffer(DType element, std::byte* memory, std::int64_t elements)
      : dtype(element), data(memory), count(elements) {}
  template <class T>
  // NOLINTNEXTLINE(google-explicit-constructor): a span is a buffer
  OutputBuffer(std::span<T> values)
      : dtype(dtype_of<T>),
        data(reinterpret_cast<std::byte*>(values.data())),
        count(static_cast<std::int64_t>(values.size())) {}
};

/// What a program does and needs, for people and tests.
struct ProgramStats {
  std::size_t instructions = 0;  ///< kernel calls a run; an operation over a sample axis counts once
  std::size_t contractions = 0;  ///< convolutions and matrix products among them
  std::size_t winograd = 0;      ///< of these, how many run by Winograd's transforms (Precision::fast)
  std::size_t split = 0;         ///< of these, how many run as products of bfloat16 parts (Precision::fast)
  std::size_t bfloat16 = 0;      ///< of these, how many read bfloat16 operands (Precision::bfloat16)
  std::size_t weight_sweeps =
      0;  ///< instructions that read a large weight once, for all products with it that meet there
  std::size_t fused = 0;     ///< operations that became part of the call of another
  std::size_t in_place = 0;  ///< results written over an operand
  std::size_t folded_constants =
      0;  ///< values that are computed once, ahead of runs, for all programs of the graph
  std::size_t folded_bytes =
      0;  ///< of those that calls read as they are; shared with other programs of the graph
  std::size_t packed_bytes =
      0;  ///< of forms that kernels made of constants: packed weights, other layouts; shared likewise
  std::vector<std::string> large_folds;  ///< those above 64 MB, as `mul 'w' float32[4096, 25088]: 392.0 MB`
  std::size_t arena_bytes = 0;           ///< working memory of one run: intermediate values and scratch
  std::size_t unplanned_bytes = 0;       ///< what the same would take without reuse
  std::vector<std::int64_t> samples_at_once;  ///< of each sample loop, in the order in which they run
};

/// Expressions made ready to run: a flat list of kernel calls over planned memory. Immutable: many threads
/// may run it at once. It keeps what it needs of the graph, which may be gone when it runs.
class Program {
 public:
  /// Throws Error(unknown_name) for an operator without a kernel, Error(non_finite) for constants that are
  /// not.
  [[nodiscard]] static Program compile(std::span<const Expr> outputs, const CompileOptions& options = {});

  /// One tensor for each output. Throws Error for missing inputs and for those the graph does not have, wrong
  /// dtypes, shapes, batch extents that disagree, and non-finite values. Inputs of the graph that the outputs
  /// do not depend on may be given: they only take part in saying what the batch is (1 if no input does).
  [[nodiscard]] std::vector<Tensor> run(const Inputs& inputs, const RunOptions& options = {}) const;

  /// The same with results in memory of the caller, one buffer for each output. Throws Error(dtype),
  /// Error(shape) or Error(invalid_argument) for buffers that do not fit, before anything is computed;
  /// buffers hold no meaningful values after any other error.
  void run_into(const Inputs& inputs, std::span<const OutputBuffer> results,
                const RunOptions& options = {}) const;

  /// The types of the outputs, in their order.
  [[nodiscard]] std::vector<Type> output_types() const;
  /// What a run of these extents does and needs; it is planned for them if it was not yet.
  [[nodiscard]] ProgramStats stats(const Extents& extents) const;
  /// A line an instruction: kernel, operands, where its result lives, what dies.
  [[nodiscard]] std::string print(const Extents& extents) const;

 private:
  friend class StagedProgram;
  struct Data;
  explicit Program(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  /// Throws Error(invalid_argument) for a program that was moved from.
  [[nodiscard]] const Data& data() const;
  /// Results go to the buffers, or are returned if there are none.
  [[nodiscard]] std::vector<Tensor> run(const Inputs& inputs, const std::span<const OutputBuffer>* buffers,
                                        const RunOptions& options) const;
  std::shared_ptr<const Data> data_;
};

/// Evaluates expressions once: compile and run. Throws what those throw.
[[nodiscard]] std::vector<Tensor> evaluate(std::span<const Expr> outputs, const Inputs& inputs);

}  // namespace rulegrad
