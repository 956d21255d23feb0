#pragma once

#include <span>
#include <utility>
#include <vector>

#include "rulegrad/rewrite/provenance.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Expressions that give the same numbers with less work, and which rules (rules/simplify.rules) changed
/// what. Those of the set `simplify.exact` keep every bit for finite operands, but for the sign of zeros;
/// those of `simplify.rounding` round otherwise, and never where a comparison, `sign`, `argmax`, `stabilize`
/// or the choice of a maximum depends on it.
struct Simplified {
  std::vector<Expr> outputs;
  std::vector<ForwardRewrite> rewrites;
  /// Named nodes that were built anew over simpler operands, and what stands for them.
  std::vector<std::pair<Expr, Expr>> renewed;
};

/// Infers intervals and signs of the values below the outputs (after a ReLU, x >= 0) and rewrites what they
/// make superfluous: clip_neg(x) becomes 0, and every contraction with it. New nodes go to the outputs'
/// graph; names stay where they are. `rounding`: also by the rules of `simplify.rounding`.
[[nodiscard]] Simplified simplify(std::span<const Expr> outputs, bool rounding = true);

}  // namespace rulegrad
