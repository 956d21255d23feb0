#include "api/explained.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad {
namespace {

/// Follows an input of integers through the graph, as positions: what its elements become the index of.
class Positions {
 public:
  explicit Positions(const ModelInput& input) : input_(input.expr), leaf_(placeholder(input)) {
    twins_.emplace(input_, leaf_);
  }

  [[nodiscard]] Expr leaf() const { return leaf_; }

  void add_lookups(Expr output, ExplainedValue& value) {
    for (const Expr e : topological_order(std::span(&output, 1))) {
      if (e.operands().empty() || e == input_) continue;
      const auto way = twin(e);
      if (way) twins_.emplace(e, *way);
      if (!is_lookup(e)) continue;
      const auto index = twins_.find(e.operand(1));
      if (index == twins_.end()) continue;
      value.nodes.push_back(e);
      value.ways.push_back(index->second);
    }
  }

 private:
  /// Nothing is ever computed from its value: movements of numbers are linear.
  static Expr placeholder(const ModelInput& input) {
    Graph& graph = input.expr.graph();
    const std::string name = "rulegrad.positions." + input.name;
    const Type type{graph.real(), input.expr.shape()};
    for (const Expr known : graph.inputs())
      if (known.attributes<InputAttributes>().name == name && known.type() == type) return known;
    return graph.input(name, type);
  }

  static bool is_lookup(Expr e) {
    return e.is("gather") && is_floating(e.dtype()) && is_constant(e.operand(0)) &&
           e.operand(0).shape().rank() == 2 && e.attributes<AxisAttributes>().axis == 0;
  }

  /// The same positions, moved as the numbers are; nothing where they are more than moved.
  std::optional<Expr> twin(Expr e) const {
    std::optional<Expr> only;
    for (const Expr operand : e.operands()) {
      const auto found = twins_.find(operand);
      if (found == twins_.end()) continue;
      if (only && *only != found->second) return std::nullopt;
      only = found->second;
    }
    if (!only || is_floating(e.dtype())) return std::nullopt;
    // Casts, offsets and bounds change numbers where they stand.
    if (e.op().is(OpClass::elementwise)) return only->shape() == e.shape() ? only : std::nullopt;
    if (!e.op().is(OpClass::routing) || !twins_.contains(e.operand(0))) return std::nullopt;
    if (e.operands().size() > 1 && (!e.is("gather") || twins_.contains(e.operand(1)))) return std::nullopt;
    std::vector<Expr> operands(e.operands().begin(), e.operands().end());
    operands[0] = *only;
    return e.graph().apply(e.op(), std::move(operands), e.attributes());
  }

  Expr input_, leaf_;
  std::unordered_map<Expr, Expr> twins_;
};

ExplainedValue looked_up(const ModelInput& input, Expr output) {
  ExplainedValue value{input.name, input.expr, {}, {}, {}};
  Positions positions(input);
  value.leaf = positions.leaf();
  positions.add_lookups(output, value);
  return value;
}

const ModelInput* input_named(const Model& model, const std::string& name) {
  for (const ModelInput& input : model.inputs())
    if (input.name == name) return &input;
  return nullptr;
}

Expr node_named(const Model& model, const std::string& name, Expr output) {
  // Of several that were split by rewriting, the last that the output needs.
  std::vector<std::string> known;
  Expr found;
  for (const Expr node : topological_order(std::span(&output, 1)))
    for (const std::string& other : model.graph().names(node)) {
      if (other == name) found = node;
      known.push_back(other);
    }
  if (found) return found;
  if (const std::vector<Expr> elsewhere = model.graph().find(name); !elsewhere.empty())
    return elsewhere.front();
  throw Error(ErrorCode::unknown_name, "[explainer] " + unknown_name_message("node", name, known));
}

}  // namespace

std::vector<ExplainedValue> explained_values(const Model& model, const std::vector<std::string>& names,
                                             std::size_t output) {
  (void)model.head(HeadKind::logit, output);  // says which outputs there are
  const Expr y = model.outputs().at(output).expr;
  std::vector<ExplainedValue> result;
  for (const std::string& name : names) {
    const ModelInput* input = input_named(model, name);
    if (input != nullptr && !is_floating(input->expr.dtype())) {
      result.push_back(looked_up(*input, y));
      if (result.back().nodes.empty())
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("[explainer] '{}' holds integers that no table is asked for, which have no "
                                "attribution; name a value of floating dtype that they lead to",
                                name));
      continue;
    }
    const Expr node = input != nullptr ? input->expr : node_named(model, name, y);
    if (!is_floating(node.dtype()))
      throw Error(ErrorCode::dtype, fmt::format("[explainer] '{}' is {} and holds integers, which have no "
                                                "attribution; name a value of floating dtype",
                                                name, to_string(node.type())));
    result.push_back({name, node, {node}, {}, {}});
  }
  if (!names.empty()) return result;
  const std::vector<Expr> below = topological_order(std::span(&y, 1));
  const std::unordered_set<Expr> needed(below.begin(),
                                        below.end());  // other outputs may have inputs of their own
  for (const ModelInput& input : model.inputs())
    if (is_floating(input.expr.dtype()) && needed.contains(input.expr))
      result.push_back({input.name, input.expr, {input.expr}, {}, {}});
  if (!result.empty()) return result;
  for (const ModelInput& input : model.inputs())
    if (ExplainedValue value = looked_up(input, y); !value.nodes.empty()) result.push_back(std::move(value));
  if (result.empty())
    throw Error(ErrorCode::invalid_argument,
                "[explainer] the model's inputs are integers, which have no relevance, and no table is found "
                "that looks them up; name nodes to explain, such as the output of its embedding "
                "(ExplainerOptions::nodes, --at NAME)");
  return result;
}

Expr attribution_of(const ExplainedValue& value, std::span<const Expr> attributions) {
  if (!value.leaf) return attributions[0];
  Expr total;
  for (std::size_t i = 0; i < attributions.size(); ++i) {
    Expr at_index = sum(attributions[i], {static_cast<std::int64_t>(attributions[i].shape().rank()) - 1});
    if (at_index.shape() != value.ways[i].shape())
      throw Error(ErrorCode::shape,
                  fmt::format("[explainer] attributions of '{}' for each sample of a loop cannot be summed "
                              "to its own shape; name the value that looks it up",
                              value.name));
    if (at_index.dtype() != value.leaf.dtype())
      at_index = at_index.graph().apply(Operators::builtin().at("cast"), {at_index},
                                        CastAttributes{value.leaf.dtype()});
    const Expr moved = gradient(value.ways[i], std::span(&value.leaf, 1), at_index)[0];
    total = total ? total + moved : moved;
  }
  return total;
}

std::vector<Expr> lookups_of(const Model& model, const std::string& input, std::size_t output) {
  const ModelInput* found = input_named(model, input);
  std::vector<std::string> known;
  for (const ModelInput& other : model.inputs()) known.push_back(other.name);
  if (found == nullptr) throw Error(ErrorCode::unknown_name, unknown_name_message("input", input, known));
  if (is_floating(found->expr.dtype())) return {};
  return looked_up(*found, model.outputs().at(output).expr).nodes;
}

}  // namespace rulegrad
