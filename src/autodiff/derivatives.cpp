#include "autodiff/derivatives.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "autodiff/reverse_walk.hpp"
#include "expr/rebuild.hpp"
#include "ops/families.hpp"

namespace rulegrad {
namespace {

/// Derivative rules use operators and words alone.
const Functions no_functions;

}  // namespace

Derivatives::Derivatives(Graph& graph, const Operators& operators)
    : graph_(graph),
      operators_(operators),
      const_(operators.at("const")),
      vocabulary_(operators, no_functions),
      no_facts_({}, {}),
      closing_({graph, vocabulary_, no_facts_}, rules_, {}) {
  const auto no_parameters = std::make_shared<const Scope>();
  for (const auto& schema : operators.all())
    for (const Rule& rule : schema->derivatives)
      // Rules live as long as their operator; sharing the schema's ownership avoids a copy.
      rules_.add(
          {std::shared_ptr<const Rule>(schema, &rule), "derivatives." + schema->name, no_parameters, {}});
}

Expr Derivatives::make(const OpSchema& level, Expr operation, std::size_t slot, Expr cotangent) const {
  const Type& type = operation.operand(slot).type();
  const auto place = static_cast<std::int64_t>(slot);
  if (const auto& last = last_slot_.as<SlotAttributes>();
      last.slot != place || last.dtype != type.dtype || type.shape.sampled() || last.shape != type.shape)
    last_slot_ = SlotAttributes{place, type.dtype, type.shape.with_samples(false)};
  return graph_.make(level, {operation, cotangent}, last_slot_);
}

std::optional<Expr> Derivatives::close_composite(Expr operation, std::size_t slot, Expr cotangent) const {
  std::vector<Type> types;
  for (const Expr operand : operation.operands()) types.push_back(operand.type());
  std::string key =
      fmt::format("{} {} {}", static_cast<const void*>(&operation.op()), slot, to_string(cotangent.type()));
  for (const Type& type : types) key += to_string(type);
  auto found = templates_.find(key);
  if (found == templates_.end()) {
    Template made{.alone = expand_alone(operation.op(), types), .cotangent = {}, .derivative = {}};
    Graph& graph = *made.alone.graph;
    made.cotangent = graph.input("g", {cotangent.dtype(), operation.shape().with_samples(false)});
    made.derivative = Derivatives(graph, operators_)
                          .differentiate(made.alone.root, made.alone.inputs[slot], made.cotangent);
    found = templates_.emplace(std::move(key), std::move(made)).first;
  }
  const Template& known = found->second;
  if (!known.derivative) return std::nullopt;
  std::unordered_map<Expr, Expr> place{{known.cotangent, cotangent}};
  for (std::size_t i = 0; i < types.size(); ++i) place.emplace(known.alone.inputs[i], operation.operand(i));
  return transplant(*known.derivative, place, graph_);
}

std::optional<Expr> Derivatives::close(Expr operation, std::size_t slot, Expr cotangent) const {
  if (guarded_.size() != 0 && guarded_.contains(operation))
    if (const auto coupled = operation.op().coupled_axes(operation))
      return close_guarded(operation, slot, cotangent, *coupled);
  return close_plain(operation, slot, cotangent);
}

/// The derivative, and 0 wherever no cotangent arrives at what an element of the operand takes part in.
std::optional<Expr> Derivatives::close_guarded(Expr operation, std::size_t slot, Expr cotangent,
                                               std::span<const std::int64_t> coupled) const {
  const Type wanted = operation.operand(slot).type();
  const bool spread = coupled.empty() && wanted.shape.dims() != operation.shape().dims();
  std::vector<Expr> operands(operation.operands().begin(), operation.operands().end());
  // Before anything is summed over what the operand was spread to.
  if (spread)
    operands[slot] = graph_.apply(operators_.at("expand"), {operands[slot]},
                                  ShapeAttributes{operation.shape().with_samples(false)});
  const Expr at = spread ? graph_.make(operation.op(), operands, operation.attributes()) : operation;
  const auto derivative = close_plain(at, slot, cotangent);
  if (!derivative) return std::nullopt;
  Expr arrived = cotangent;
  if (!coupled.empty())
    arrived = graph_.apply(operators_.at("sum"), {graph_.apply(operators_.at("abs"), {cotangent})},
                           ReduceAttributes{{coupled.begin(), coupled.end()}, true});
  const Expr zero = graph_.scalar(0, cotangent.dtype());
  const Expr result =
      graph_.apply(operators_.at("where"), {graph_.apply(operators_.at("equal"), {arrived, zero}),
                                            graph_.scalar(0, derivative->dtype()), *derivative});
  return spread ? graph_.apply(operators_.at("sum_to"), {result},
                               ShapeAttributes{wanted.shape.with_samples(false)})
                : result;
}

std::optional<Expr> Derivatives::close_plain(Expr operation, std::size_t slot, Expr cotangent) const {
  if (operation.op().expansion) return close_composite(operation, slot, cotangent);
  const auto result = closing_.apply(operation, slot, cotangent);
  if (!result)
    throw Error(ErrorCode::rule,
                fmt::format("[{}] has no derivative for its operand '{}': {}", operation.op().name,
                            operation.op().operand(slot).name, describe(operation)));
  return conform({graph_, vocabulary_, no_facts_}, result->value, operation.operand(slot).type(), [&] {
    return fmt::format("the derivative of {} by its operand '{}'", operation.op().name,
                       operation.op().operand(slot).name);
  });
}

Expr Derivatives::lower_into(Lowered& lowered, Expr root, bool keep_const) {
  const Rebuild lowering{
      [&](Expr node) { return node.operands().empty() || (forward_ != nullptr && forward_->contains(node)); },
      [&](Expr node, std::span<const Expr> operands) {
        if (&node.op() == &vjp_schema()) {
          const auto& slot = node.attributes<SlotAttributes>();
          const auto derivative = close(operands[0], static_cast<std::size_t>(slot.slot), operands[1]);
          return derivative
                     ? *derivative
                     : graph_.apply(operators_.at("fill"), {}, FillAttributes{0, slot.dtype, slot.shape});
        }
        if (!keep_const && &node.op() == &const_) return operands[0];
        return again(node, operands);
      }};
  return lowering(root, lowered);
}

std::optional<Expr> Derivatives::lower(Expr root) {
  const Expr result = lower_into(lowered_, root, false);
  return number_everywhere(result) == 0.0 ? std::nullopt : std::optional(result);
}

std::optional<Expr> Derivatives::differentiate(Expr e, Expr x, Expr cotangent) {
  const Expr closed = lower_into(lowered_but_const_, e, true);
  const ForwardFacts facts = ForwardFacts::between(closed, x);
  const std::pair<Expr, Expr> start{closed, cotangent};
  const auto totals = reverse_walk(facts, operators_, std::span(&start, 1),
                                   [&](Expr node, std::size_t slot, Expr g) { return close(node, slot, g); });
  const auto found = totals.find(x);
  return found == totals.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace rulegrad
