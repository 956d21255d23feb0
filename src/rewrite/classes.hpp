#pragma once

#include <string_view>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// Does the class or operator name `name` cover this node? (`covers` of match.hpp: some node of its
/// operator.)
[[nodiscard]] bool covers_node(std::string_view name, Expr node);
/// Does it cover every node of the operator?
[[nodiscard]] bool covers_always(std::string_view name, const OpSchema& op);

}  // namespace rulegrad
