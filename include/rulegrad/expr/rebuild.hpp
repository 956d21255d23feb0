#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// The roots once more, in the graph `into`, with their names. `images` says what stands for nodes of the old
/// graph (a parameter that becomes an input, a layer that is replaced), which must have the type of what they
/// replace; it holds the images of all nodes in the end. Inputs that `into` has already under their name are
/// shared. Weights are shared.
[[nodiscard]] std::vector<Expr> rebuild(Graph& into, std::span<const Expr> roots,
                                        std::unordered_map<Expr, Expr>& images);

}  // namespace rulegrad
