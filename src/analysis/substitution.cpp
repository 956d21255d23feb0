#include "analysis/substitution.hpp"

#include <algorithm>

namespace rulegrad {

Expr Substitution::operator()(Expr root) {
  // Iterative: chains of operations are as deep as the network.
  std::vector<Expr> stack{root};
  while (!stack.empty()) {
    const Expr expr = stack.back();
    if (images_.contains(expr)) {
      stack.pop_back();
      continue;
    }
    const std::size_t before = stack.size();
    for (const Expr operand : expr.operands())
      if (!images_.contains(operand)) stack.push_back(operand);
    if (stack.size() != before) continue;
    stack.pop_back();

    std::vector<Expr> operands;
    bool changed = false;
    for (const Expr operand : expr.operands()) {
      operands.push_back(images_.at(operand));
      changed = changed || operands.back() != operand;
    }
    Expr image = expr;
    if (changed) {
      Graph& graph = expr.graph();
      image = graph.apply(expr.op(), std::move(operands), expr.attributes());
      for (const std::string& name : graph.names(expr)) graph.add_name(image, name);
    }
    images_.emplace(expr, image);
  }
  return images_.at(root);
}

void World::place(Expr node, Expr value) {
  const auto known = std::find_if(placements_.begin(), placements_.end(), [&](const auto& p) { return p.first == node; });
  if (known != placements_.end()) known->second = value;
  else placements_.emplace_back(node, value);
  substitution_.set(node, value);
}

Substitution translation(World& from, World& to) {
  Substitution result;
  for (World* world : {&from, &to})
    for (const auto& [node, value] : world->placements())
      if (const Expr here = from.image(node), there = to.image(node); here != there) result.set(here, there);
  return result;
}

}  // namespace rulegrad
