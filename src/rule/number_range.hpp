#pragma once

#include <fmt/format.h>
#include <string>

#include "rulegrad/rule/rule.hpp"
#include "rulegrad/support/text.hpp"

/// The numbers that a parameter may be.
namespace rulegrad {

/// `[0, 1)`, as a rule file says it.
[[nodiscard]] inline std::string range_text(const NumberRange& range) {
  return fmt::format("{}{}, {}{}", range.low_open ? '(' : '[', shortest(range.low), shortest(range.high),
                     range.high_open ? ')' : ']');
}

[[nodiscard]] inline bool contains(const NumberRange& range, double v) {
  return (range.low_open ? v > range.low : v >= range.low) &&
         (range.high_open ? v < range.high : v <= range.high);
}

}  // namespace rulegrad
