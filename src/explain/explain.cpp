#include "rulegrad/explain/explain.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "explain/node_names.hpp"
#include "explain/reason.hpp"
#include "support/table.hpp"

namespace rulegrad {
namespace {

/// Operations that a rewrite took in: below what it replaced, and no longer below what replaced it.
std::vector<Expr> folded(const ForwardRewrite& rewrite) {
  std::vector<Expr> result;
  for (const Expr operand : rewrite.before.operands()) {
    const auto kept = rewrite.after.operands();
    if (!operand.operands().empty() && std::find(kept.begin(), kept.end(), operand) == kept.end())
      result.push_back(operand);
  }
  return result;
}

}  // namespace

std::vector<ExplainedStep> explained_steps(const Analysis& analysis) {
  const NodeNames names(analysis);
  std::vector<ExplainedStep> rows;
  for (std::size_t i = 0; i < analysis.steps.size(); ++i) {
    const Step& step = analysis.steps[i];
    rows.push_back({i, names.of(step.node), step.node.op().name, step.node.op().operand(step.slot).name,
                    rule_label(step), place_label(step.by->where), reason(step)});
  }
  return rows;
}

std::vector<ExplainedRewrite> explained_rewrites(const Analysis& analysis) {
  const NodeNames names(analysis);
  const auto speak = [&](Expr node) { return fmt::format("{} '{}'", node.op().name, names.of(node)); };
  std::vector<ExplainedRewrite> rows;
  for (const ForwardRewrite& rewrite : analysis.rewrites) {
    std::string taken;
    for (const Expr node : folded(rewrite)) taken += (taken.empty() ? "" : " and ") + speak(node);
    rows.push_back(
        {speak(rewrite.before), taken, speak(rewrite.after), rewrite.rule_set, place_label(rewrite.where)});
  }
  return rows;
}

std::string explain_table(const Analysis& analysis, std::size_t width) {
  std::string text;
  if (!analysis.rewrites.empty()) {
    TextTable canonized({{"rewritten before"}, {"with"}, {"to"}, {"rule"}, {"where"}});
    for (const ExplainedRewrite& row : explained_rewrites(analysis))
      canonized.add({row.before, row.folded, row.after, row.rule, row.place});
    text += canonized.text(width) + '\n';
  }
  TextTable table({{"node"}, {"operator"}, {"operand"}, {"rule"}, {"where"}, {"why"}});
  TextTable counts({{"nodes", TextTable::Align::right}, {"closed by"}, {"where"}});
  std::vector<std::pair<std::pair<std::string, std::string>, std::size_t>> by_rule;
  Expr before;
  for (const ExplainedStep& row : explained_steps(analysis)) {
    const Expr node = analysis.steps[row.step].node;
    const bool again = before && node == before;
    before = node;
    table.add({again ? "" : row.node, again ? "" : row.op, row.operand, row.rule, row.place, row.why});
    const std::pair key{row.rule, row.place};
    const auto found =
        std::find_if(by_rule.begin(), by_rule.end(), [&](const auto& entry) { return entry.first == key; });
    if (found != by_rule.end())
      ++found->second;
    else
      by_rule.emplace_back(key, 1);
  }
  text += table.text(width);
  std::stable_sort(by_rule.begin(), by_rule.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [key, count] : by_rule) counts.add({fmt::format("{}", count), key.first, key.second});
  return text + '\n' + counts.text(width);
}

}  // namespace rulegrad
