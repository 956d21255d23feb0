#include "autodiff/reverse_walk.hpp"

#include <algorithm>

namespace rulegrad {

NodeMap<Expr> reverse_walk(const ForwardFacts& facts, const Operators& operators,
                           std::span<const std::pair<Expr, Expr>> seeds, const CloseGradient& close) {
  NodeMap<std::vector<Expr>> arriving;  // from the last user to the first
  for (const auto& [node, seed] : seeds) arriving[node].push_back(seed);

  NodeMap<Expr> totals;
  const std::vector<Expr>& order = facts.order();
  const OpSchema& accum = operators.at("accum");
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Expr node = *it;
    const auto found = arriving.find(node);
    if (found == arriving.end() || !facts.depends(node)) continue;
    std::vector<Expr> parts = std::move(found->second);
    std::reverse(parts.begin(), parts.end());
    const Expr total = parts.size() == 1 ? parts[0] : node.graph().apply(accum, parts);
    totals.emplace(node, total);
    for (std::size_t slot = 0; slot < node.operands().size(); ++slot) {
      const Expr operand = node.operand(slot);
      // Integers (indices, classes) carry no derivative: the flow ends there.
      if (!facts.depends(operand) || !is_floating(operand.dtype())) continue;
      if (const auto part = close(node, slot, total)) arriving[operand].push_back(*part);
    }
  }
  return totals;
}

}  // namespace rulegrad
