#include "rulegrad/explain/relevance_flow.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "explain/node_names.hpp"
#include "explain/number_probe.hpp"
#include "explain/reason.hpp"
#include "expr/rebuild.hpp"
#include "support/table.hpp"

namespace rulegrad {
namespace {

using Set = std::unordered_set<Expr>;
using Map = std::unordered_map<Expr, Expr>;

/// Expressions built again with some parts exchanged, down to those that belong to other gradient nodes or
/// other layers.
class Rebuilding {
 public:
  Rebuilding(const Set& boundary, Map exchanged, bool transparent)
      : boundary_(boundary), done_(std::move(exchanged)), transparent_(transparent) {}

  Expr of(Expr root) {
    const Rebuild building{[&](Expr e) { return boundary_.contains(e) || e.operands().empty(); },
                           [&](Expr e, std::span<const Expr> operands) { return rebuilt(e, operands); }};
    return building(root, done_);
  }

  /// Every r / z that stands for an r / stabilize(z, eps).
  [[nodiscard]] const std::vector<Expr>& shared() const { return shared_; }

 private:
  Expr rebuilt(Expr expr, std::span<const Expr> operands) {
    // r / stabilize(z, eps) with eps = 0 is r / z where z is not 0; nothing can be shared out where it is.
    if (transparent_ && expr.is("div") && expr.operand(1).is("stabilize")) {
      shared_.push_back(expr.graph().apply(op("over"), {operands[0], operands[1]}));
      return shared_.back();
    }
    if (transparent_ && expr.is("stabilize")) return operands[0];
    const Expr result = again(expr, operands);
    if (transparent_ && result.is("over")) shared_.push_back(result);
    return result;
  }

  const Set& boundary_;
  Map done_;
  bool transparent_;
  std::vector<Expr> shared_;
};

/// What `over` drops: its numerator where its denominator is 0.
Expr dropped(Expr over) {
  Graph& graph = over.graph();
  const Expr zero = graph.scalar(0, over.dtype());
  return graph.apply(op("where"), {graph.apply(op("equal"), {over.operand(1), zero}), over.operand(0), zero});
}

/// Operands that only shift the result: biases, means that are subtracted, addends that no explained input
/// reaches.
Map without_shifts(Expr node, const Set& reached_slots) {
  Map zeros;
  const bool sums = node.is("add") || node.is("sub");
  for (std::size_t i = 0; i < node.operands().size(); ++i) {
    const Expr operand = node.operand(i);
    const OperandSpec& spec = node.op().operand(i);
    const bool shift =
        spec.role == Role::parameter && (spec.name == "b" || spec.name == "bias" || spec.name == "mean");
    if (!shift && !(sums && !reached_slots.contains(operand))) continue;
    if (!is_floating(operand.dtype()) || is_zero(operand)) continue;
    zeros.emplace(
        operand, node.graph().apply(op("fill"), {},
                                    FillAttributes{0, operand.dtype(), operand.shape().with_samples(false)}));
  }
  return zeros;
}

/// Numbers of one table, with as many decimals as its largest one leaves of five digits: the rest is
/// rounding.
class NumberColumn {
 public:
  explicit NumberColumn(double largest) {
    if (largest > 0 && std::isfinite(largest))
      decimals_ = std::clamp(4 - static_cast<int>(std::floor(std::log10(largest))), 0, 12);
  }
  [[nodiscard]] std::string operator()(double value) const {
    const std::string text = fmt::format("{:.{}f}", value, decimals_);
    return text.find_first_of("123456789") == std::string::npos && text[0] == '-' ? text.substr(1) : text;
  }

 private:
  int decimals_ = 4;
};

}  // namespace

std::size_t FlowQuestions::ask(Expr expression) {
  const auto found = std::find(expressions_.begin() + static_cast<std::ptrdiff_t>(search_from_),
                               expressions_.end(), expression);
  if (found != expressions_.end()) return static_cast<std::size_t>(found - expressions_.begin());
  expressions_.push_back(expression);
  return expressions_.size() - 1;
}

FlowQuestions::FlowQuestions(const Analysis& analysis) {
  const NodeNames names(analysis);
  const std::vector<Expr>& order = names.order();
  const Set forward(order.begin(), order.end());
  Set gradients;  // what other gradient nodes received and sent, and what they belong to
  std::unordered_map<Expr, Set> reached;
  for (const Step& step : analysis.steps) {
    gradients.insert(step.node);
    gradients.insert(step.cotangent);
    if (step.result) gradients.insert(step.result);
    reached[step.node].insert(step.node.operand(step.slot));
  }
  seed_ = analysis.seed ? ask(probe::sum(analysis.seed)) : none;
  for (const Expr relevance : analysis.relevance)
    if (relevance) reached_.push_back(ask(probe::sum(relevance)));

  Expr before;
  Set emptied;
  for (std::size_t i = 0; i < analysis.steps.size(); ++i) {
    const Step& step = analysis.steps[i];
    search_from_ =
        expressions_
            .size();  // equal sums are asked for by one step or by neighbours; the program shares the rest
    first_.push_back(step.node != before);
    before = step.node;
    Asked asked{i, ask(probe::sum(step.cotangent)), none, none, none, none, none, none, {}};
    if (step.result) {
      Set boundary = forward;
      boundary.insert(gradients.begin(), gradients.end());
      boundary.erase(step.node);
      if (step.result != step.cotangent) boundary.erase(step.result);
      boundary.insert(step.cotangent);
      const Map zeros = without_shifts(step.node, reached[step.node]);
      asked.out = ask(probe::sum(step.result));
      asked.without_bias = ask(probe::sum(Rebuilding(boundary, zeros, false).of(step.result)));
      Rebuilding transparent(boundary, zeros, true);
      asked.transparent = ask(probe::sum(transparent.of(step.result)));
      // The operands of one operation share the same quotient out.
      if (first_.back()) emptied.clear();
      for (const Expr over : transparent.shared())
        if (emptied.insert(over).second) asked.empty.push_back(ask(probe::sum(dropped(over))));
      asked.low = ask(probe::amin(step.result));
      asked.high = ask(probe::amax(step.result));
      asked.negative = ask(probe::share_below_zero(step.result));
    }
    asked_.push_back(asked);
  }
}

RelevanceFlow FlowQuestions::read(std::span<const Tensor> values) const {
  if (values.size() != expressions_.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("[flow] {} values were given for {} expressions",
                                                         values.size(), expressions_.size()));
  const auto at = [&](std::size_t index) { return index == none ? 0.0 : probe::value(values[index]); };
  RelevanceFlow flow;
  flow.seed = at(seed_);
  for (const std::size_t index : reached_) flow.reached += at(index);
  std::size_t whole = 0;  // row of the operation's first gradient node
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const Asked& asked = asked_[i];
    FlowRow row;
    row.step = asked.step;
    row.first = first_[i];
    if (row.first) whole = i;
    row.in = at(asked.in);
    row.out = at(asked.out);
    row.low = at(asked.low);
    row.high = at(asked.high);
    row.negative = at(asked.negative);
    flow.rows.push_back(row);
    FlowRow& sum = flow.rows[whole];
    if (row.first) sum.rest = row.in;
    sum.bias += at(asked.without_bias) - row.out;
    sum.stabiliser += at(asked.transparent) - at(asked.without_bias);
    sum.rest -= at(asked.transparent);
    for (const std::size_t index : asked.empty) sum.empty += at(index);
  }
  return flow;
}

bool shares_relevance(const Analysis& analysis) {
  const NodeNames names(analysis);
  std::vector<Expr> roots;
  for (const Step& step : analysis.steps)
    if (step.rewritten) roots.push_back(step.rewritten);
  const std::vector<Expr> order = topological_order(roots);
  return std::any_of(order.begin(), order.end(),
                     [&](Expr e) { return (e.is("stabilize") || e.is("over")) && !names.contains(e); });
}

std::string flow_table(const Analysis& analysis, const RelevanceFlow& flow, std::size_t width) {
  const bool shares = shares_relevance(analysis);
  std::vector<TextTable::Column> columns{{"node"}, {"operator"}, {"operand"}, {"rule"}};
  const std::vector<const char*> numbers = shares ? std::vector{"in", "out", "bias", "stabiliser", "rest"}
                                                  : std::vector{"in", "out", "least", "largest", "negative"};
  for (const char* title : numbers) columns.push_back({title, TextTable::Align::right});
  TextTable table(columns);
  const NodeNames names(analysis);
  double largest = std::abs(flow.seed);
  for (const FlowRow& row : flow.rows)
    for (const double value : {row.in, row.out}) largest = std::max(largest, std::abs(value));
  const NumberColumn number(largest);
  FlowRow total;
  for (const FlowRow& row : flow.rows) {
    const Step& step = analysis.steps[row.step];
    std::vector<std::string> cells{
        row.first ? names.of(step.node) : "",   row.first ? step.node.op().name : "",
        step.node.op().operand(step.slot).name, rule_label(step),
        row.first ? number(row.in) : "",        number(row.out)};
    if (shares && row.first)
      for (const double value : {row.bias, row.stabiliser, row.rest}) cells.push_back(number(value));
    if (!shares)
      for (const std::string& text :
           {number(row.low), number(row.high), fmt::format("{:.0f} %", 100 * row.negative)})
        cells.push_back(text);
    table.add(cells);
    total.bias += row.bias;
    total.stabiliser += row.stabiliser;
    total.rest += row.rest;
  }
  std::string text = table.text(width) + '\n';
  if (shares)
    return text + fmt::format("seed {} = reached the input {} + bias {} + stabiliser {} + rest {}\n",
                              number(flow.seed), number(flow.reached), number(total.bias),
                              number(total.stabiliser), number(total.rest));
  return text + fmt::format("seed {}, reached the input {}\n", number(flow.seed), number(flow.reached));
}

}  // namespace rulegrad
