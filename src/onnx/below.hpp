#pragma once

#include <algorithm>
#include <functional>

#include "rulegrad/expr/expr.hpp"

#include "expr/node_map.hpp"
#include "expr/walk.hpp"

namespace rulegrad::io {

/// Whether something holds of a node or of any node below it. Asked for every value of a file, so each node
/// is looked at once; without recursion, for files are as deep as they are long.
class SomewhereBelow {
 public:
  explicit SomewhereBelow(std::function<bool(Expr)> holds) : holds_(std::move(holds)) {}
  /// Nor is looked below what `ends` holds of.
  SomewhereBelow(std::function<bool(Expr)> holds, std::function<bool(Expr)> ends)
      : holds_(std::move(holds)), ends_(std::move(ends)) {}

  [[nodiscard]] bool of(Expr root) {
    const auto below = down_to([&](Expr e) { return ends_ && ends_(e); });
    post_order_along(
        root, [&](Expr e) { return known_.contains(e); }, below,
        [&](Expr e) {
          const auto operands = below(e);
          known_.emplace(e, holds_(e) || std::any_of(operands.begin(), operands.end(),
                                                     [&](Expr operand) { return known_.at(operand); }));
        });
    return known_.at(root);
  }

 private:
  std::function<bool(Expr)> holds_, ends_;
  NodeMap<bool> known_;
};

}  // namespace rulegrad::io
