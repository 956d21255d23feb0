#include "analysis/unclaimed.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "support/text.hpp"

namespace rulegrad {

void Unclaimed::add(Expr node, std::size_t slot, NearMiss nearest) {
  const OperandSpec& operand = node.op().operand(slot);
  auto group = std::find_if(groups_.begin(), groups_.end(),
                            [&](const Group& g) { return g.op == node.op().name && g.operand == operand.name; });
  if (group == groups_.end()) {
    groups_.push_back({node.op().name, operand.name, {}, std::move(nearest), node.op().is(OpClass::routing), node.op().operands.size() == 1});
    group = groups_.end() - 1;
  }
  if (std::find(group->nodes.begin(), group->nodes.end(), node) == group->nodes.end()) group->nodes.push_back(node);
}

std::string Unclaimed::message(const std::string& analyzer, const RuleList& rules) const {
  std::size_t count = 0;
  for (const Group& group : groups_) count += group.nodes.size();
  std::string text = fmt::format("{} has no rule for {} gradient node{}, and its default is error\n", analyzer, count, count == 1 ? "" : "s");
  std::vector<std::string> roots;
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (const std::string root = root_name(rules[i].rule->terms, rules[i].rule->pattern); !root.empty()) roots.push_back(root);
  for (const Group& group : groups_) {
    text += fmt::format("  {}x {}, operand '{}'\n", group.nodes.size(), group.op, group.operand);
    for (std::size_t i = 0; i < std::min<std::size_t>(group.nodes.size(), 6); ++i)
      text += fmt::format("     at {}\n", describe(group.nodes[i]));
    if (group.nodes.size() > 6) text += fmt::format("     and {} more\n", group.nodes.size() - 6);
    if (group.nearest.rule != nullptr)
      text += fmt::format("     nearest rule: {}{} does not apply: {}\n", at_place(group.nearest.rule->rule->where),
                          group.nearest.rule->set, group.nearest.why);
    else if (const std::string near = nearest_name(group.op, roots); !near.empty())
      text += fmt::format("     no rule names {}; the nearest is for {}\n", group.op, near);
  }
  text += "to close them, use a rule set of your own before the others, for example\n  rules mine {\n";
  for (const Group& group : groups_) {
    if (group.routing || !group.single)
      text += fmt::format("    grad(y: {}, r) wrt v => vjp(y, r)\n", group.op);
    else
      text += fmt::format("    grad(y: {}(x), r) => vjp(y, r)\n", group.op);
  }
  return text + "  }\nor say what they get with `default gradient` in the analyzer";
}

}  // namespace rulegrad
