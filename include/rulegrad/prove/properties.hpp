#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/recipe/analyzer.hpp"

/// What an analyzer declares of itself (`declare conserves linear`) is tried on layers and random networks,
/// never trusted.
///
///     linear     the attribution is linear in the seed: A(a s + b t) = a A(s) + b A(t)
///     positive   a seed without negative values gives an attribution without negative values
///     adjoint    the attribution is the transposed Jacobian applied to the seed: <A(s), d> = <s, df/dx d>
///     completes  the attribution adds up to the score less the score at the baseline; a sum over steps
///                within a fifth
///     conserves  the attribution adds up to the seed, but for what biases take, `stabilize` keeps back,
///                and units get to which nothing contributes
namespace [[gnu::visibility("default")]] rulegrad {

/// What became of one declared property.
struct PropertyTrial {
  std::string property;
  bool holds = true;
  int networks = 0;     ///< on which the analyzer ran; 0: nothing is known
  std::string network;  ///< the smallest on which the property fails: `dense(x [1, 2] -> 3) relu`
  std::string what;     ///< what was expected there and what came out, with inputs and seed
};

/// Tries the declared properties of an analyzer with its parameters at their defaults, smallest networks
/// first, in float64; equal on every machine. Networks with layers that the analyzer refuses are left out.
[[nodiscard]] std::vector<PropertyTrial> try_properties(const RuleLibrary& library, std::string_view analyzer,
                                                        const Operators& operators = Operators::builtin(),
                                                        const Samplers& samplers = Samplers::builtin());

/// The same on the examples of an operator (OpSchema::examples), each by itself with the input in the place of
/// each operand that is data: that the analyzer `explains` it with finite numbers, and what it declares.
/// Where it refuses all of them, `what` is its error and `networks` 0.
[[nodiscard]] std::vector<PropertyTrial> try_properties_on(const OpSchema& op, const RuleLibrary& library,
                                                           std::string_view analyzer, const Kernels& kernels,
                                                           const Operators& operators,
                                                           const Samplers& samplers = Samplers::builtin());

}  // namespace rulegrad
