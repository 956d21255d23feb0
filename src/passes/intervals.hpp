#pragma once

#include <vector>

#include "rulegrad/expr/interval.hpp"

#include "expr/node_map.hpp"

namespace rulegrad {

/// Intervals of the values of one graph, inferred from what operators and constants say of themselves
/// (OpSchema::interval), and remembered. They hold for what
/// kernels compute as long as those keep signs: sums of products of what is not negative are not negative (so
/// no Winograd). Large constants are not looked through.
class Intervals {
 public:
  /// Iterative: chains are as deep as the network.
  [[nodiscard]] Interval of(Expr expr);

 private:
  NodeMap<Interval> known_;
};

}  // namespace rulegrad
