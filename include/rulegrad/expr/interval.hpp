#pragma once

#include <limits>

namespace [[gnu::visibility("default")]] rulegrad {

/// Bounds of all elements of a value, whatever the inputs: low <= x <= high. What is computed may always be
/// the bound itself: exp and sigmoid underflow to 0.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  /// Does nothing but a rounding make an element `low`, as an exponential is never 0?
  bool above_low = false;

  /// Is every element more than 0, but for roundings?
  [[nodiscard]] bool is_positive() const { return low > 0 || (low == 0 && above_low); }
  /// Is every element 0?
  [[nodiscard]] bool is_zero() const { return low == 0 && high == 0; }
  /// May an element be x?
  [[nodiscard]] bool contains(double x) const { return low <= x && x <= high; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

}  // namespace rulegrad
