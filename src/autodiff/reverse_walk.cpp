#include "autodiff/reverse_walk.hpp"

#include <algorithm>

namespace rulegrad {

NodeMap<Expr> reverse_walk(const ForwardFacts& facts, const Operators& operators,
                           std::span<const std::pair<Expr, Expr>> seeds, const CloseGradient& close) {
  // From the last user to the first; nearly every node has one.
  struct Arriving {
    Expr first;
    std::vector<Expr> more;
    void add(Expr part) {
      if (!first)
        first = part;
      else
        more.push_back(part);
    }
  };
  NodeMap<Arriving> arriving;
  for (const auto& [node, seed] : seeds) arriving[node].add(seed);

  NodeMap<Expr> totals;
  const std::vector<Expr>& order = facts.order();
  const OpSchema& accum = operators.at("accum");
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Expr node = *it;
    const auto found = arriving.find(node);
    if (found == arriving.end() || !facts.depends(node)) continue;
    Expr total = found->second.first;
    if (!found->second.more.empty()) {
      std::vector<Expr> parts = std::move(found->second.more);
      parts.insert(parts.begin(), total);
      std::reverse(parts.begin(), parts.end());
      total = node.graph().apply(accum, std::move(parts));
    }
    totals.emplace(node, total);
    for (std::size_t slot = 0; slot < node.operands().size(); ++slot) {
      const Expr operand = node.operand(slot);
      // Integers (indices, classes) carry no derivative: the flow ends there.
      if (!facts.depends(operand) || !is_floating(operand.dtype())) continue;
      if (const auto part = close(node, slot, total)) arriving[operand].add(*part);
    }
  }
  return totals;
}

}  // namespace rulegrad
