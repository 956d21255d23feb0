#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Over which samples the expectations of a pattern are taken: all of them, or those that the neuron's
/// activation lets through.
enum class PatternType : std::uint8_t { linear, relu };
/// Throws Error(unknown_name).
[[nodiscard]] PatternType pattern_type_from_name(std::string_view name);

/// The patterns of PatternNet and PatternAttribution (Kindermans et al. 2018, arXiv 1705.05598, eq. 5 and 8),
/// from data: for each neuron y = w x of an affine operation, bias left out, the direction in which the data
/// vary with y,
///
///     a = c / (w^T c)      c = E[m x y] / E[m] - (E[m x] / E[m]) E[y]
///
/// with m = 1 (`linear`), or m = 1 where the activation behind the neuron is positive and 0 elsewhere
/// (`relu`; without an activation, where y + b is positive). The entries of x are the inputs that the
/// neuron's weights see; for convolutions the expectations run over all positions too. Where no sample
/// passes, or w^T c is 0, that divisor is 1.
///
/// Data come batch by batch; only sums in float64 are kept. A pattern has the shape of its weights.
class PatternComputation {
 public:
  /// Below `output`, for every affine operation with constant weights. Throws Error(invalid_argument) where
  /// there is none, or where one has no name under which the pattern could be kept; Error(shape) for weights
  /// that are not dense, conv or conv_transpose.
  PatternComputation(Expr output, PatternType type, const CompileOptions& options = {},
                     const Operators& operators = Operators::builtin());

  /// Takes the next samples into account. Throws Error(model) for a second batch where an operation mixes
  /// samples.
  void add(const Inputs& batch, const RunOptions& options = {});

  /// `NODE/pattern` and the pattern, in the order of the network. Throws Error(invalid_argument) before the
  /// first batch.
  [[nodiscard]] std::vector<std::pair<std::string, Tensor>> patterns() const;

 private:
  struct Layer;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<const Program> program_;
  std::string mixing_;  ///< the operation that forbids cutting the batch
  std::int64_t samples_ = 0;
};

}  // namespace rulegrad
