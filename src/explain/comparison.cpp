#include "rulegrad/explain/comparison.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <tuple>

#include "rulegrad/explain/explain.hpp"
#include "rulegrad/support/error.hpp"

#include "explain/expression_text.hpp"
#include "explain/node_names.hpp"
#include "explain/number_probe.hpp"
#include "explain/reason.hpp"
#include "support/table.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Steps of one analysis by node and slot, and by the names of the node and its operator: a convolution that
/// took in a batch norm carries both names, and is the other's convolution.
class StepIndex {
 public:
  explicit StepIndex(const Analysis& analysis) {
    for (std::size_t i = 0; i < analysis.steps.size(); ++i) {
      const Step& step = analysis.steps[i];
      by_node_.emplace(std::pair(&step.node.node(), step.slot), i);
      for (const std::string& name : step.node.graph().names(step.node))
        by_name_.emplace(std::tuple(name, &step.node.op(), step.slot), i);
    }
  }

  /// The step for the same operation of another analysis.
  [[nodiscard]] std::optional<std::size_t> find(const Step& other) const {
    if (const auto found = by_node_.find({&other.node.node(), other.slot}); found != by_node_.end())
      return found->second;
    for (const std::string& name : other.node.graph().names(other.node))
      if (const auto found = by_name_.find({name, &other.node.op(), other.slot}); found != by_name_.end())
        return found->second;
    return std::nullopt;
  }

 private:
  std::map<std::pair<const Node*, std::size_t>, std::size_t> by_node_;
  std::map<std::tuple<std::string, const OpSchema*, std::size_t>, std::size_t> by_name_;
};

bool same_rule(const Step& a, const Step& b) {
  return a.by->rule_set == b.by->rule_set && a.by->rule == b.by->rule &&
         a.by->where.file == b.by->where.file && a.by->where.line == b.by->where.line &&
         rule_label(a) == rule_label(b);
}

std::string text_of(const Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return shortest(*number);
  if (const auto* expr = std::get_if<Expr>(&value)) {
    const std::string number = number_text(*expr);
    return number.empty() ? describe(*expr) : number;
  }
  return to_string(*attribute_in(value));
}

/// `epsilon: 1e-07 | 0.1` for each parameter that differs.
std::string differing_parameters(const Step& a, const Step& b) {
  if (!a.match || !b.match) return {};
  std::vector<std::string> parts;
  for (const auto& [name, value] : a.match->active->parameters->entries()) {
    const Value* other = b.match->active->parameters->find(name);
    if (other != nullptr && text_of(value) != text_of(*other))
      parts.push_back(fmt::format("{}: {} | {}", name, text_of(value), text_of(*other)));
  }
  return join(parts);
}

std::vector<std::string> rewrite_lines(const Analysis& analysis) {
  std::vector<std::string> lines;
  for (const ExplainedRewrite& row : explained_rewrites(analysis))
    lines.push_back(fmt::format("{}{} -> {}, by {} at {}", row.before,
                                row.folded.empty() ? "" : " with " + row.folded, row.after, row.rule,
                                row.place));
  return lines;
}

std::vector<std::string> without(const std::vector<std::string>& lines,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> result;
  for (const std::string& line : lines)
    if (std::find(others.begin(), others.end(), line) == others.end()) result.push_back(line);
  return result;
}

double ratio(double part, double whole) {
  return whole == 0 ? 0 : part / whole;
}

}  // namespace

Comparison::Comparison(const Analysis& a, const Analysis& b) : a_(a), b_(b) {
  const std::vector<std::string> lines_a = rewrite_lines(a), lines_b = rewrite_lines(b);
  only_a_ = without(lines_a, lines_b);
  only_b_ = without(lines_b, lines_a);

  const std::vector<ExplainedStep> rows_a = explained_steps(a), rows_b = explained_steps(b);
  const StepIndex steps_b(b);
  std::vector<bool> met(b.steps.size(), false);
  for (std::size_t i = 0; i < a.steps.size(); ++i) {
    Difference difference;
    difference.node = rows_a[i].node;
    difference.op = rows_a[i].op;
    difference.operand = rows_a[i].operand;
    difference.rule_a = rows_a[i].rule;
    difference.place_a = rows_a[i].place;
    difference.step_a = i;
    const auto other = steps_b.find(a.steps[i]);
    if (other) {
      met[*other] = true;
      difference.step_b = *other;
      difference.rule_b = rows_b[*other].rule;
      difference.place_b = rows_b[*other].place;
      difference.parameters = differing_parameters(a.steps[i], b.steps[*other]);
      if (same_rule(a.steps[i], b.steps[*other])) {
        if (difference.parameters.empty()) {
          ++common_;
          continue;
        }
      } else {
        difference.parameters.clear();
      }
    } else {
      difference.in_b = false;
    }
    differences_.push_back(std::move(difference));
  }
  for (std::size_t i = 0; i < b.steps.size(); ++i) {
    if (met[i]) continue;
    Difference difference;
    difference.node = rows_b[i].node;
    difference.op = rows_b[i].op;
    difference.operand = rows_b[i].operand;
    difference.rule_b = rows_b[i].rule;
    difference.place_b = rows_b[i].place;
    difference.step_b = i;
    difference.in_a = false;
    differences_.push_back(std::move(difference));
  }

  // Six numbers for each node that both have, and for the result.
  const auto ask = [&](Expr from_a, Expr from_b) {
    if (!from_a && !from_b) return;
    Graph& graph = from_a ? from_a.graph() : from_b.graph();
    const Expr zero = graph.scalar(0, from_a ? from_a.dtype() : from_b.dtype());
    const Expr difference = graph.apply(op("sub"), {from_a ? from_a : zero, from_b ? from_b : zero});
    for (const Expr expr : {difference, from_a ? from_a : zero, from_b ? from_b : zero})
      expressions_.insert(expressions_.end(), {probe::sum_of_sizes(expr), probe::amax_of_sizes(expr)});
  };
  for (const Difference& difference : differences_)
    if (difference.in_a && difference.in_b)
      ask(a.steps[difference.step_a].result, b.steps[difference.step_b].result);
  ask(a.attributions[0], b.attributions[0]);
}

void Comparison::read(std::span<const Tensor> values) {
  if (values.size() != expressions_.size())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[comparison] {} values were given for {} expressions", values.size(),
                            expressions_.size()));
  std::size_t next = 0;
  const auto read_one = [&](double& l1, double& largest) {
    const auto at = [&](std::size_t offset) { return probe::value(values[next + offset]); };
    l1 = ratio(at(0), std::max(at(2), at(4)));
    largest = ratio(at(1), std::max(at(3), at(5)));
    next += 6;
  };
  for (Difference& difference : differences_) {
    if (!difference.in_a || !difference.in_b) continue;
    if (!a_.steps[difference.step_a].result && !b_.steps[difference.step_b].result) continue;
    read_one(difference.relative_l1, difference.relative_max);
  }
  read_one(result_l1_, result_max_);
  has_values_ = true;
}

std::string Comparison::table(std::string_view name_a, std::string_view name_b, std::size_t width) const {
  std::string text;
  const auto add_rewrites = [&](const std::vector<std::string>& lines, std::string_view name) {
    if (lines.empty()) return;
    text += fmt::format("only {} rewrites before\n", name);
    for (const std::string& line : lines) text += "  " + line + '\n';
  };
  add_rewrites(only_a_, name_a);
  add_rewrites(only_b_, name_b);
  if (!text.empty()) text += '\n';

  std::vector<TextTable::Column> columns{{"node"}, {"operator"}, {"operand"}};
  if (has_values_)
    columns.insert(columns.end(), {{"L1", TextTable::Align::right}, {"largest", TextTable::Align::right}});
  columns.insert(columns.end(), {{std::string(name_a)}, {std::string(name_b)}});
  TextTable table(columns);
  const auto rule = [](const std::string& name, const std::string& place) {
    return place.empty() ? name : fmt::format("{} at {}", name, place);
  };
  for (const Difference& d : differences_) {
    std::vector<std::string> cells{d.node, d.op, d.operand};
    const bool both = d.in_a && d.in_b;
    if (has_values_)
      for (const double value : {d.relative_l1, d.relative_max})
        cells.push_back(both ? fmt::format("{:.3f}", value) : "");
    cells.push_back(d.in_a ? rule(d.rule_a, d.place_a) : "no such node");
    cells.push_back(!d.in_b                ? "no such node"
                    : d.parameters.empty() ? rule(d.rule_b, d.place_b)
                                           : d.parameters);
    table.add(cells);
  }
  if (differences_.empty())
    text += "every gradient node is closed by the same rule\n";
  else
    text += table.text(width);
  text += fmt::format("\n{} gradient nodes differ, {} are closed by the same rule\n", differences_.size(),
                      common_);
  if (a_.seed != b_.seed) text += "the two start from different seeds\n";
  if (has_values_)
    text +=
        fmt::format("the attributions differ by {:.3f} (L1) and {:.3f} (largest), relative to the larger\n",
                    result_l1_, result_max_);
  return text;
}

}  // namespace rulegrad
