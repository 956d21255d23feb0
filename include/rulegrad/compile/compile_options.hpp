#pragma once

#include <cstddef>
#include <cstdint>

#include "rulegrad/kernels/kernel.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

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
  /// Off: every expression is computed as it is written. On: what is known of values spares work
  /// (simplify.hpp), with the same bits for finite operands, but for the sign of zeros.
  bool simplify = true;
  /// Off: of the simplifier's rules only those that keep every bit (`simplify.exact`) apply, not those that
  /// round otherwise
  /// (`simplify.rounding`). Without `simplify` neither do.
  bool rounding = true;
  /// `fast`: contractions whose results are neither compared with 0 nor divide may trade exactness for speed,
  /// and what is known of their signs is restored (docs/precision.md). `bfloat16`: those whose results nothing
  /// decides by or divides by read 8 digits of their operands, where the processor has units for it. `automatic`: the same where it is
  /// measured to pay, see Precision.
  Precision precision = Precision::exact;
  /// What `fast` may do: Winograd's transforms of convolutions, products of matrices from bfloat16 parts.
  bool transforms = true, split_products = true;
  /// Weights of dense layers of at least so many bytes are read once for all products that need them, while
  /// functions of them are applied on the way and not computed ahead: such products take as long as reading
  /// takes. 0: never.
  std::size_t streamed_weights = std::size_t{4} << 20;
  /// Off: each operation is a call of its own. On: those that work element by element over the same extents
  /// are one, with the same bits and no memory between them.
  bool fuse = true;
  /// Bytes of working memory that the samples of a loop may take together: as many run at once as fit, at
  /// least one.
  std::size_t memory = std::size_t{1} << 30;
  /// For tests: so many samples run at once, whatever they need; 0: as many as `memory` allows.
  std::int64_t samples_at_once = 0;

  /// Denormal numbers, smaller than any that has all its digits, are 0 while kernels run: as operands and as
  /// results, in every thread of the team, so that `z == 0` also means "underflowed". Each thread's own mode
  /// is back when a run ends, however it ends. They cost a hundred times as much as other numbers where
  /// relevance fades out. Off, or on processors other than x86-64: kernels run in whatever mode the threads
  /// are in.
  bool flush_denormals = true;

  /// A run that takes one thread some 100 microseconds or less runs on the caller's alone: beginning and
  /// ending loops on several would take as long as they save. Off: loops are shared out all the same.
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
  /// For tests: after each kernel call its results are held against what was inferred of them, and a finite
  /// value outside is an Error(internal) that names the node, the interval and the value. What is never
  /// stored is not looked at. The environment variable RULEGRAD_CHECK_FACTS=1 does the same.
  bool check_facts = false;
};

}  // namespace rulegrad
