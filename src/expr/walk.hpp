#pragma once

#include <boost/container/small_vector.hpp>
#include <span>
#include <type_traits>
#include <vector>

#include "rulegrad/expr/expr.hpp"

#include "expr/node_set.hpp"

namespace rulegrad {

/// What is looked at below a node: its operands, unless it is a leaf.
template <class Leaf>
[[nodiscard]] auto down_to(const Leaf& leaf) {
  return [leaf](Expr e) { return leaf(e) ? std::span<const Expr>() : e.operands(); };
}
/// No node is a leaf for that it stands where it does.
inline constexpr auto no_leaf = [](Expr) { return false; };

/// Visits what stands below the root and is not known yet, what is below a node before it, in the order in
/// which `below(e)` has it: its operands, or what else the caller walks along, which must stay where it is.
/// `known(e)` must hold once `visit(e)` has returned. Without recursion: chains of operations are as deep as
/// the network.
template <class Known, class Below, class Visit>
void post_order_along(Expr root, const Known& known, const Below& below, Visit&& visit) {
  if (known(root)) return;
  struct Frame {
    Expr expr;
    const Expr* next;
    const Expr* end;
  };
  boost::container::small_vector<Frame, 32> stack;  // most walks go but a few steps
  const auto enter = [&](Expr e) {
    const std::span<const Expr> along = below(e);
    stack.push_back({e, along.data(), along.data() + along.size()});
  };
  enter(root);
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next != frame.end) {
      // What is on the stack is above its operands, so that none of them is entered twice.
      if (const Expr operand = *frame.next++; !known(operand)) enter(operand);
    } else {
      const Expr done = frame.expr;
      stack.pop_back();
      visit(done);
    }
  }
}

/// The same along the operands. What stands below a `leaf(e)` is not looked at.
template <class Known, class Leaf, class Visit>
void post_order(Expr root, const Known& known, const Leaf& leaf, Visit&& visit) {
  post_order_along(root, known, down_to(leaf), visit);
}

/// Visits the roots and what can be reached from them, each node once, in an order that nothing may hang on:
/// an operand where `enters(operand)` holds, the operands of a node where `visit` says so, or nothing.
template <class Enters, class Visit>
void for_each_below(std::span<const Expr> roots, const Enters& enters, Visit&& visit) {
  NodeSet met;
  std::vector<Expr> open;
  const auto meet = [&](Expr e) {
    if (met.insert(e)) open.push_back(e);
  };
  for (const Expr root : roots) meet(root);
  while (!open.empty()) {
    const Expr node = open.back();
    open.pop_back();
    if constexpr (std::is_void_v<decltype(visit(node))>) {
      visit(node);
    } else if (!visit(node)) {
      continue;
    }
    for (const Expr operand : node.operands())
      if (enters(operand)) meet(operand);
  }
}
/// The same from one root.
template <class Enters, class Visit>
void for_each_below(Expr root, const Enters& enters, Visit&& visit) {
  for_each_below(std::span<const Expr>(&root, 1), enters, visit);
}

/// Everything below the roots down to the leaves, operands before users.
template <class Leaf>
[[nodiscard]] std::vector<Expr> order_until(std::span<const Expr> roots, const Leaf& leaf) {
  std::vector<Expr> order;
  NodeSet done;
  for (const Expr root : roots)
    post_order(
        root, [&](Expr e) { return done.contains(e); }, leaf,
        [&](Expr e) {
          done.insert(e);
          order.push_back(e);
        });
  return order;
}

}  // namespace rulegrad
