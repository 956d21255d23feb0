#pragma once

#include <cstddef>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/program.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What the canonizers of an analyzer did to the output on random inputs.
struct CanonizerProof {
  std::size_t rewrites = 0;
  double difference = 0;  ///< the largest between the outputs before and after
  double largest = 0;     ///< the largest value of the output before
};

/// Compares the output that was asked about with the one that the analysis explains, on two random samples (standard normal,
/// integers 0 and 1). The difference may be 1e-9 of the largest value in float64 and 1e-4 in float32: folding rounds.
/// Throws Error(rule) beyond that, with each forward rule that changes its node, where it stands and by how much.
CanonizerProof prove_canonizers(Expr output, const Analysis& analysis, const CompileOptions& options = {});

}  // namespace rulegrad
