#pragma once

#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"

namespace rulegrad::fuzz {

/// Operations of any kind on inputs, constants and each other, in the order they were made: each is drawn
/// from the examples of its operator, and takes what there is of the type it asks for, or an input of its own.
[[nodiscard]] std::vector<Expr> random_graph(Graph& graph, RandomEngine& random, std::size_t operations);

}  // namespace rulegrad::fuzz
