#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "rulegrad/rewrite/provenance.hpp"

namespace rulegrad::io {

/// A graph whose chains of primitive operations are operators again where rules/raise.rules knows them.
struct Raised {
  std::vector<Expr> outputs;
  std::vector<ForwardRewrite> rewrites;
  std::vector<ForwardRewrite> steps;  ///< on the way to normalisations; what came of none of them is undone
};

/// Puts together what exporters took apart: functions of one value by what they compute, then normalisations
/// and softmax by their form. Names go along.
[[nodiscard]] Raised raise(std::span<const Expr> outputs);

}  // namespace rulegrad::io

namespace rulegrad {

/// Path and text of rules/raise.rules, embedded when the library is built (scripts/embed_rules.py).
[[nodiscard]] std::span<const std::pair<std::string_view, std::string_view>> raising_rules();

}  // namespace rulegrad
