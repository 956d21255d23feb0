#pragma once

#include <limits>
#include <vector>

#include "expr/node_map.hpp"

namespace rulegrad {

/// Bounds of all elements of a value, whatever the inputs: low <= x <= high. Never strict: exp and sigmoid underflow to 0.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  [[nodiscard]] bool is_zero() const { return low == 0 && high == 0; }
  [[nodiscard]] bool contains(double x) const { return low <= x && x <= high; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

/// Intervals of the values of one graph, inferred from operators and constants, and remembered. They hold for what
/// kernels compute as long as those keep signs: sums of products of what is not negative are not negative (so no Winograd).
/// Large constants are not looked through.
class Intervals {
 public:
  /// Iterative: chains are as deep as the network.
  [[nodiscard]] Interval of(Expr expr);

 private:
  NodeMap<Interval> known_;
};

}  // namespace rulegrad
