#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/expr.hpp"
#include "rulegrad/kernel.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

class Staged;

/// How expressions become a program.
struct CompileOptions {
  /// Off: NaN and infinity pass. On: an input, a constant or the result of a contraction that holds one is an
  /// Error(non_finite) that names it.
  bool check_finite = true;
  /// Off: what is given to `run` is not looked through.
  bool check_inputs = true;
  /// Off: results are handed out as they are, should they have left the range of their dtype.
  bool check_outputs = true;
  /// Where kernels come from; null: Kernels::best(). The program keeps those it uses.
  const Kernels* kernels = nullptr;
  /// Off: every expression is computed as it is written. On: what is known of values spares work (simplify.hpp), with the same
  /// bits for finite operands, but for the sign of zeros.
  bool simplify = true;
  /// Off: of the simplifier's rules only those that keep every bit (`simplify.exact`) apply, not those that round otherwise
  /// (`simplify.rounding`). Without `simplify` neither do.
  bool rounding = true;
  /// `fast`: contractions whose results are neither compared with 0 nor divide may trade exactness for speed, and what is known
  /// of their signs is restored (docs/precision.md). `automatic`: the same where it is measured to pay, see Precision.
  Precision precision = Precision::exact;
  /// Weights of dense layers of at least so many bytes are read once for all products that need them, while functions of them
  /// are applied on the way and not computed ahead: such products take as long as reading takes. 0: never.
  std::size_t streamed_weights = std::size_t{4} << 20;
  /// Off: each operation is a call of its own. On: those that work element by element over the same extents are one, with the same
  /// bits and no memory between them.
  bool fuse = true;
  /// Bytes of working memory that the samples of a loop may take together: as many run at once as fit, at least one.
  std::size_t memory = std::size_t{1} << 30;
  /// For tests: so many samples run at once, whatever they need; 0: as many as `memory` allows.
  std::int64_t samples_at_once = 0;

  /// Denormal numbers, smaller than any that has all its digits, are 0 while kernels run: as operands and as results, in every
  /// thread of the team, so that `z == 0` also means "underflowed". Each thread's own mode is back when a run ends, however it
  /// ends. They cost a hundred times as much as other numbers where relevance fades out. Off, or on processors other than x86-64:
  /// kernels run in whatever mode the threads are in.
  bool flush_denormals = true;

  /// A run that takes one thread some 100 microseconds or less runs on the caller's alone: beginning and ending loops on several would
  /// take as long as they save. Off: loops are shared out all the same.
  bool little_on_one_thread = true;

  /// For tests. Off: each value has memory of its own.
  bool reuse_memory = true;
  /// For tests. Off: values that depend on constants alone are computed in every run.
  bool fold_constants = true;
  /// For tests. Off: every value is row-major.
  bool blocked_layouts = true;
  /// For tests: memory is filled with NaN before its first and after its last use, so that nothing can read a
  /// value that is no longer there. The environment variable RULEGRAD_POISON=1 does the same.
  bool poison = false;
  /// For tests: after each kernel call its results are held against what was inferred of them, and a finite value outside is an
  /// Error(internal) that names the node, the interval and the value. What is never stored is not looked at. The environment
  /// variable RULEGRAD_CHECK_FACTS=1 does the same.
  bool check_facts = false;
};

/// One kernel call of a run.
struct KernelReport {
  std::string_view operation;  ///< `conv`; operations that run as one are joined by '+'
  std::string_view label;      ///< the node: `conv 'features.0' float32[B, 64, 224, 224]`
  bool contraction = false;
  std::size_t bytes = 0;       ///< of its operands and results
  double milliseconds = 0;
};

/// What a run may use.
struct RunOptions {
  int threads = 0;  ///< At most; 0: as many as OpenMP gives. Results depend on it by roundings at most.
  /// Asked between kernel calls; a run that is to stop throws Error(cancelled).
  std::stop_token stop = {};
  /// Where a batch is cut into several runs: the position of this run's first entry. Random numbers depend on it, so
  /// that they do not depend on how the batch was cut.
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
  OutputBuffer(DType element, std::byte* memory, std::int64_t elements) : dtype(element), data(memory), count(elements) {}
  template <class T>
  // NOLINTNEXTLINE(google-explicit-constructor): a span is a buffer
  OutputBuffer(std::span<T> values)
      : dtype(dtype_of<T>), data(reinterpret_cast<std::byte*>(values.data())), count(static_cast<std::int64_t>(values.size())) {}
};

/// What a program does and needs, for people and tests.
struct ProgramStats {
  std::size_t instructions = 0;      ///< kernel calls a run; an operation over a sample axis counts once
  std::size_t contractions = 0;      ///< convolutions and matrix products among them
  std::size_t winograd = 0;          ///< of these, how many run by Winograd's transforms (Precision::fast)
  std::size_t weight_sweeps = 0;     ///< instructions that read a large weight once, for all products with it that meet there
  std::size_t fused = 0;             ///< operations that became part of the call of another
  std::size_t in_place = 0;          ///< results written over an operand
  std::size_t folded_constants = 0;  ///< values that are computed once, ahead of runs, for all programs of the graph
  std::size_t folded_bytes = 0;      ///< of those that calls read as they are; shared with other programs of the graph
  std::size_t packed_bytes = 0;      ///< of forms that kernels made of constants: packed weights, other layouts; shared likewise
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

  /// The same with results in memory of the caller, one buffer for each output. Throws Error(dtype), Error(shape) or
  /// Error(invalid_argument) for buffers that do not fit, before anything is computed; buffers hold no meaningful values
  /// after any other error.
  void run_into(const Inputs& inputs, std::span<const OutputBuffer> results, const RunOptions& options = {}) const;

  /// The types of the outputs, in their order.
  [[nodiscard]] std::vector<Type> output_types() const;
  /// What a run of these extents does and needs; it is planned for them if it was not yet.
  [[nodiscard]] ProgramStats stats(const Extents& extents) const;
  /// A line an instruction: kernel, operands, where its result lives, what dies.
  [[nodiscard]] std::string print(const Extents& extents) const;

 private:
  friend class Staged;
  struct Data;
  explicit Program(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  /// Throws Error(invalid_argument) for a program that was moved from.
  [[nodiscard]] const Data& data() const;
  /// Results go to the buffers, or are returned if there are none.
  [[nodiscard]] std::vector<Tensor> run(const Inputs& inputs, const std::span<const OutputBuffer>* buffers, const RunOptions& options) const;
  std::shared_ptr<const Data> data_;
};

/// What programs of a graph have computed ahead of runs and share: functions of constants, their packed forms. A program keeps
/// what its plans read, also when the graph is gone. What no program keeps any more stays with the graph, the latest 512 MB of
/// it, so that the next program finds it. Constants themselves are looked through for NaN and infinity once.
struct SharedConstants {
  std::size_t folds = 0;       ///< kernels that ran to compute such values, so far
  std::size_t packs = 0;       ///< forms that were made, so far
  std::size_t checks = 0;      ///< constants of more than 64 bytes that were looked through, so far
  std::size_t bytes = 0;       ///< of all that is there now
  std::size_t idle_bytes = 0;  ///< of that, what no program keeps
};
/// What the programs of this graph have computed and keep; all 0 before the first is compiled.
[[nodiscard]] SharedConstants shared_constants(const Graph& graph);
/// Frees what no program keeps. Safe beside runs of programs.
void drop_idle_constants(const Graph& graph);

/// Evaluates expressions once: compile and run. Throws what those throw.
[[nodiscard]] std::vector<Tensor> evaluate(std::span<const Expr> outputs, const Inputs& inputs);

}  // namespace rulegrad
