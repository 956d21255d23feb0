#pragma once

#include <utility>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/schema.hpp"

namespace rulegrad {

/// The operator with the rules that close its vjp nodes.
template <dsl::RuleType... R>
[[nodiscard]] OpSchema with_derivatives(OpSchema schema, const R&... rules) {
  schema.derivatives = dsl::rule_list(rules...);
  return schema;
}

}  // namespace rulegrad
