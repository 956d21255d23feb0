#pragma once

#include <charconv>
#include <limits>
#include <string_view>

namespace rulegrad {

/// The number that the whole text is, with a point whatever the locale of the program; NaN where it is none.
[[nodiscard]] inline double number_from(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value
                                                                  : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace rulegrad
