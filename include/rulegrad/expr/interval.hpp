#pragma once

#include <limits>

namespace [[gnu::visibility("default")]] rulegrad {

/// Bounds of all elements of a value, whatever the inputs: low <= x <= high. Never strict: exp and sigmoid
/// underflow to 0.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  /// Is every element 0?
  [[nodiscard]] bool is_zero() const { return low == 0 && high == 0; }
  /// May an element be x?
  [[nodiscard]] bool contains(double x) const { return low <= x && x <= high; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

}  // namespace rulegrad
