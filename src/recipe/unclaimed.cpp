#include "recipe/unclaimed.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <span>

#include "recipe/advice.hpp"
#include "support/text.hpp"

namespace rulegrad {

void Unclaimed::add(Expr node, std::size_t slot, NearMiss nearest) {
  const OperandSpec& operand = node.op().operand(slot);
  auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) {
    return g.op == node.op().name && g.operand == operand.name;
  });
  if (group == groups_.end()) {
    groups_.push_back({node.op().name, operand.name, slot, {}, std::move(nearest)});
    group = groups_.end() - 1;
  }
  if (std::find(group->nodes.begin(), group->nodes.end(), node) == group->nodes.end())
    group->nodes.push_back(node);
}

std::string Unclaimed::found(const Setting& setting) const {
  std::size_t count = 0;
  for (const Group& group : groups_) count += group.nodes.size();
  std::string text = fmt::format("{} has no rule for {} gradient node{}, and its default is error\n",
                                 setting.analyzer, count, count == 1 ? "" : "s");
  std::vector<std::string> roots;
  for (std::size_t i = 0; i < setting.rules.size(); ++i)
    if (const std::string root = root_name(setting.rules[i].rule->terms, setting.rules[i].rule->pattern);
        !root.empty())
      roots.push_back(root);
  for (const Group& group : groups_) {
    text += fmt::format("  {}x {}, operand '{}'\n", group.nodes.size(), group.op, group.operand);
    for (std::size_t i = 0; i < std::min<std::size_t>(group.nodes.size(), 6); ++i)
      text += fmt::format("     at {}\n", describe(group.nodes[i]));
    if (group.nodes.size() > 6) text += fmt::format("     and {} more\n", group.nodes.size() - 6);
    if (const Expr decision = decision_below(std::span(group.nodes), setting.facts))
      text += fmt::format(
          "     what it takes of {} is decided by the input: a difference that no slope leads to\n",
          describe(decision));
    if (group.nearest.rule != nullptr)
      text +=
          fmt::format("     nearest rule: {}{} does not apply: {}\n",
                      at_place(group.nearest.rule->rule->where), group.nearest.rule->set, group.nearest.why);
    else if (const std::string near = nearest_name(group.op, roots); !near.empty())
      text += fmt::format("     no rule names {}; the nearest is for {}\n", group.op, near);
  }
  return text;
}

std::string Unclaimed::advice(const Setting& setting) const {
  // The set that claims most of what is left, until nothing is left or none claims any of it.
  std::string text;
  std::vector<char> closed(groups_.size(), 0);
  std::size_t known = std::min(setting.usual, setting.sets.size());
  for (;;) {
    std::size_t most = 0;
    const std::string* best = nullptr;
    std::vector<std::size_t> by_best;
    for (const std::string& set : std::span(setting.sets).first(known)) {
      std::vector<std::size_t> claimed;
      for (std::size_t i = 0; i < groups_.size(); ++i) {
        const Group& group = groups_[i];
        if (closed[i] == 0 &&
            std::all_of(group.nodes.begin(),
                        group.nodes.begin() +
                            static_cast<std::ptrdiff_t>(std::min<std::size_t>(group.nodes.size(), 4)),
                        [&](Expr node) { return setting.claims(set, node, group.slot); }))
          claimed.push_back(i);
      }
      if (claimed.size() <= most) continue;
      most = claimed.size();
      best = &set;
      by_best = std::move(claimed);
    }
    if (best == nullptr && known == setting.sets.size()) break;
    if (best == nullptr) {
      known = setting.sets.size();
      continue;
    }
    std::vector<std::string> names;
    for (const std::size_t i : by_best) {
      closed[i] = 1;
      if (std::find(names.begin(), names.end(), groups_[i].op) == names.end()) names.push_back(groups_[i].op);
    }
    text += fmt::format("{}`use {}` claims {}", text.empty() ? "what ships has rules for them: " : "; ",
                        *best, join(names));
  }
  return text.empty() ? text : text + "\n";
}

std::string Unclaimed::message(const Setting& setting) const {
  std::string text = found(setting) + advice(setting);
  text += fmt::format(
      "to close them, use rules of your own before the others, as in this file, which `--rules {0}.rules "
      "--method {0}` takes\n"
      "  rulegrad 1\n  rules {0} {{\n",
      setting.name);
  const Currency currency = currency_of(setting.rules);
  std::vector<std::string> said;
  for (const Group& group : groups_) {
    if (std::find(said.begin(), said.end(), group.op) != said.end()) continue;
    said.push_back(group.op);
    std::vector<Expr> nodes;
    std::vector<std::size_t> slots;
    for (const Group& other : groups_) {
      if (other.op != group.op) continue;
      nodes.insert(nodes.end(), other.nodes.begin(), other.nodes.end());
      slots.push_back(other.slot);
    }
    for (const std::string& rule : proposed_rules(currency, nodes, slots, setting.facts))
      text += "    " + rule + "\n";
  }
  text += fmt::format("  }}\n  analyzer {0} {{\n    extends {1}\n    use {0}\n  }}\n", setting.name,
                      setting.base);
  return text +
         (currency == Currency::relevance
              ? "or say what they get with `default gradient` in the analyzer, which does not keep relevance"
              : "or say what they get with `default gradient` in the analyzer");
}

}  // namespace rulegrad
