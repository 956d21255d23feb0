#pragma once

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"

#include "expr/walk.hpp"

namespace rulegrad {

/// Every node is built as it is written.
inline constexpr auto as_written = [](Expr) -> const Expr* { return nullptr; };

/// Expressions built again with some of their parts exchanged.
template <class Boundary, class OnNode, class Instead = decltype(as_written)>
struct Rebuild {
  /// Is the node its own image, with everything below it?
  Boundary boundary;
  /// The image of a node, of which the images of its operands are given: `again`, or something else.
  OnNode on_node;
  /// Another node that is built in the place of this one, whose own operands are not looked at then; null:
  /// none.
  Instead instead = {};

  /// The image of the root. `exchange` says what stands for nodes, which are not looked into then, and holds
  /// the images of all that was met afterwards: it may be handed on to the next root.
  template <class Exchange>
  Expr operator()(Expr root, Exchange& exchange) const {
    boost::container::small_vector<Expr, 4> operands;
    const auto below = [&](Expr e) {
      if (boundary(e)) return std::span<const Expr>();
      const Expr* other = instead(e);
      return other != nullptr ? std::span(other, 1) : e.operands();
    };
    post_order_along(
        root, [&](Expr e) { return exchange.contains(e); }, below,
        [&](Expr node) {
          if (boundary(node)) {
            exchange.emplace(node, node);
            return;
          }
          if (const Expr* other = instead(node)) {
            const Expr image = exchange.at(*other);
            exchange.emplace(node, image);
            return;
          }
          operands.clear();
          for (const Expr operand : node.operands()) operands.push_back(exchange.at(operand));
          exchange.emplace(node, on_node(node, std::span<const Expr>(operands.data(), operands.size())));
        });
    return exchange.at(root);
  }
};
template <class Boundary, class OnNode>
Rebuild(Boundary, OnNode) -> Rebuild<Boundary, OnNode>;
template <class Boundary, class OnNode, class Instead>
Rebuild(Boundary, OnNode, Instead) -> Rebuild<Boundary, OnNode, Instead>;

/// No node is its own image for that it stands where it does.
inline constexpr auto no_boundary = no_leaf;

/// The operation over these operands: the node itself where they are its own.
[[nodiscard]] inline Expr again(Expr node, std::span<const Expr> operands) {
  if (std::ranges::equal(node.operands(), operands)) return node;
  return node.graph().apply(node.op(), {operands.begin(), operands.end()}, node.attributes());
}

/// Notes the names of a node beside what stands for it in the graph.
inline void hand_on_names(Expr node, Expr image) {
  if (image == node) return;
  for (const std::string& name : node.graph().names(node)) image.graph().add_name(image, name);
}

}  // namespace rulegrad
