#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What the canonizers of an analyzer did to the output on random inputs.
struct CanonizerProof {
  std::size_t rewrites = 0;
  double difference = 0;  ///< the largest between the outputs before and after
  double largest = 0;     ///< the largest value of the output before
};

/// Compares the output that was asked about with the one that the analysis explains, on two random samples
/// (standard normal, integers 0 and 1). The difference may be 1e-9 of the largest value in float64 and 1e-4
/// in float32: folding rounds. Throws Error(rule) beyond that, with each forward rule that changes its node,
/// where it stands and by how much.
CanonizerProof prove_canonizers(Expr output, const Analysis& analysis, const CompileOptions& options = {});

/// How far a result is off the plain float64 path: sample by sample, the largest difference as a share of the
/// sample's largest value, and of the samples the one that is furthest beyond what is explained.
struct NumberCheck {
  double difference = 0;
  /// What rounding explains: 1e-4 (1e-3 with Precision::fast and automatic, 5e-2 with bfloat16), or, where more, four times what
  /// the result in float64 itself changes by when the input is shaken by 2^-18 of each element: a mask or a
  /// sign that float32 may take the other way turns then too.
  double explained = 0;
  [[nodiscard]] bool within() const { return difference <= explained; }  ///< rounding explains the difference
};

/// Computes expressions a second time on the plain path: in float64, by the portable kernels, each as it is
/// written, with no optimisation. It shares neither kernels' choices nor layouts, folds, packed weights or
/// memory with the programs that it is held against.
class NumberVerifier {
 public:
  /// For programs compiled from these outputs; it keeps nothing of their graph. `kernels` are those of
  /// operators of one's own, which must then compute in float64: it looks there for what the portable ones
  /// lack.
  explicit NumberVerifier(std::span<const Expr> outputs, Precision precision = Precision::exact,
                          const Kernels* kernels = nullptr);

  /// Holds the results of a run on these inputs, one for each output, against the plain path: for the samples
  /// of these positions, or for the whole batch where its entries act on each other. `batch_offset` is that
  /// of the run. Throws what runs of programs throw.
  [[nodiscard]] std::vector<NumberCheck> check(const Inputs& inputs, std::span<const Tensor> results,
                                               std::span<const std::int64_t> samples,
                                               std::int64_t batch_offset = 0) const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

}  // namespace rulegrad
