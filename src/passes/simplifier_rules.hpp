#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace rulegrad {

/// Paths and texts of the rules of the simplifier, embedded when the library is built
/// (scripts/embed_rules.py).
[[nodiscard]] std::span<const std::pair<std::string_view, std::string_view>> simplifier_rules();

}  // namespace rulegrad
