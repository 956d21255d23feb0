#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"

#include "expr/node_map.hpp"

namespace rulegrad {

/// Visits what stands below the root and is not known yet, operands before users, in the order of the
/// operands. `known(e)` must hold once `visit(e)` has returned. What stands below a `leaf(e)` is not looked
/// at. Without recursion: chains of operations are as deep as the network.
template <class Known, class Leaf, class Visit>
void post_order(Expr root, const Known& known, const Leaf& leaf, Visit&& visit) {
  if (known(root)) return;
  struct Frame {
    Expr expr;
    std::size_t next;
  };
  std::vector<Frame> stack;
  const auto enter = [&](Expr e) { stack.push_back({e, leaf(e) ? e.operands().size() : 0}); };
  enter(root);
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next < frame.expr.operands().size()) {
      // What is on the stack is above its operands, so that none of them is entered twice.
      if (const Expr operand = frame.expr.operand(frame.next++); !known(operand)) enter(operand);
    } else {
      const Expr done = frame.expr;
      stack.pop_back();
      visit(done);
    }
  }
}

/// Everything below the roots down to the leaves, operands before users.
template <class Leaf>
[[nodiscard]] std::vector<Expr> order_until(std::span<const Expr> roots, const Leaf& leaf) {
  std::vector<Expr> order;
  NodeMap<bool> done;
  for (const Expr root : roots)
    post_order(
        root, [&](Expr e) { return done.contains(e); }, leaf,
        [&](Expr e) {
          done.emplace(e, true);
          order.push_back(e);
        });
  return order;
}

}  // namespace rulegrad
