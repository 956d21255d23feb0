#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "expr/node_map.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/expr.hpp"
#include "rulegrad/leaves.hpp"
#include "support/hash.hpp"
#include "support/text.hpp"

namespace rulegrad {

const OpSchema& Expr::op() const { return *node_->op; }
bool Expr::is(std::string_view operator_name) const { return node_->op->name == operator_name; }
std::span<const Expr> Expr::operands() const { return node_->operands; }
Expr Expr::operand(std::size_t position) const { return node_->operands[position]; }
const Attributes& Expr::attributes() const { return node_->attributes; }
const Type& Expr::type() const { return node_->type; }
std::uint32_t Expr::loops() const { return node_->loops; }
Graph& Expr::graph() const { return *node_->graph; }

namespace {

std::size_t hash_of(const OpSchema& op, std::span<const Expr> operands, const Attributes& attributes) {
  std::size_t seed = hash_combine(std::hash<const OpSchema*>()(&op), attributes.hash());
  for (const Expr operand : operands) seed = hash_combine(seed, operand->id);
  return seed;
}

std::string signature(const OpSchema& op) {
  std::vector<std::string> parts;
  for (const OperandSpec& spec : op.operands)
    parts.push_back(spec.variadic ? spec.name + "..." : spec.optional ? "[" + spec.name + "]" : spec.name);
  return fmt::format("{}({})", op.name, join(parts));
}

void check_count(const OpSchema& op, std::size_t given) {
  const bool few = given < op.required_operands();
  const bool many = !op.variadic() && given > op.operands.size();
  if (few || many)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] takes {} but {} operand{} given", op.name, signature(op), given,
                            given == 1 ? " was" : "s were"));
}

}  // namespace

Graph::Graph(DType real) : real_(real) {
  if (!is_floating(real))
    throw Error(ErrorCode::dtype, fmt::format("a graph computes in float32 or float64, not in {}", name_of(real)));
}
Graph::~Graph() = default;

void Graph::InternTable::grow() {
  std::vector<Slot> old = std::move(slots);
  slots.assign(std::max<std::size_t>(64, old.size() * 2), {});
  const std::size_t mask = slots.size() - 1;
  for (const Slot& entry : old) {
    if (entry.node == 0) continue;
    std::size_t slot = entry.hash & mask;
    while (slots[slot].node != 0) slot = (slot + 1) & mask;
    slots[slot] = entry;
  }
}

namespace {

/// The operands' types as operators see them: without the sample axis.
std::vector<Type> types_of(std::span<const Expr> operands) {
  std::vector<Type> types;
  types.reserve(operands.size());
  for (const Expr operand : operands) types.push_back({operand.dtype(), operand.shape().with_samples(false)});
  return types;
}

Attributes checked_attributes(const OpSchema& op, Attributes attributes) {
  if (&attributes.type() == op.attributes) return attributes;
  if (&attributes.type() != &attr_type<NoAttributes>())
    throw Error(ErrorCode::internal, fmt::format("[{}] was given attributes of kind '{}' instead of '{}'", op.name,
                                                 attributes.type().name, op.attributes->name));
  return Attributes::make(*op.attributes, {});
}

}  // namespace

Expr Graph::make(const OpSchema& op, std::vector<Expr> operands, Attributes attributes) {
  check_count(op, operands.size());
  for (const Expr operand : operands)
    if (&operand.graph() != this)
      throw Error(ErrorCode::invalid_argument, fmt::format("[{}] operand {} belongs to another graph", op.name, describe(operand)));
  if (!op.variadic())
    while (operands.size() < op.operands.size()) operands.push_back(scalar(0));
  attributes = checked_attributes(op, std::move(attributes));
  std::vector<Type> types;
  if (op.normalize) {
    types = types_of(operands);
    attributes = op.normalize(types, attributes);
  }

  const std::size_t hash = hash_of(op, operands, attributes);
  if (nodes_.size() * 2 >= interned_.slots.size()) interned_.grow();
  const std::size_t mask = interned_.slots.size() - 1;
  std::size_t slot = hash & mask;
  for (; interned_.slots[slot].node != 0; slot = (slot + 1) & mask) {
    if (interned_.slots[slot].hash != hash) continue;
    const Node& node = nodes_[interned_.slots[slot].node - 1];
    if (node.op == &op && node.operands == operands && node.attributes == attributes) return Expr(&node);
  }

  if (!op.normalize) types = types_of(operands);
  bool sampled = false;
  std::uint32_t loops = 0;
  for (const Expr operand : operands) {
    sampled = sampled || operand.shape().sampled();
    loops |= operand.loops();
  }
  Type type = op.infer(types, attributes);
  // Operators do not see the sample axis: whatever depends on a sampled value is sampled (leaves say it themselves).
  sampled = type.shape.sampled() || sampled;
  if (op.loops) {
    loops = op.loops(loops, attributes);
    sampled = loops != 0;
  }
  type.shape = type.shape.with_samples(sampled);
  const auto id = static_cast<std::uint32_t>(nodes_.size());
  const Node& node = nodes_.emplace_back(
      Node{id, &op, std::move(operands), std::move(attributes), std::move(type), this, loops});
  interned_.slots[slot] = {hash, id + 1};
  return Expr(&node);
}

Expr Graph::apply(const OpSchema& op, std::vector<Expr> operands, Attributes attributes) {
  if (op.simpler) {
    check_count(op, operands.size());
    attributes = checked_attributes(op, std::move(attributes));
    if (op.normalize) attributes = op.normalize(types_of(operands), attributes);
    if (const std::optional<Expr> simple = op.simpler(operands, attributes)) return *simple;
  }
  return make(op, std::move(operands), std::move(attributes));
}

Expr Graph::input(const std::string& name, Type type) {
  for (const Expr existing : inputs_)
    if (existing.attributes<InputAttributes>().name == name)
      throw Error(ErrorCode::invalid_argument, fmt::format("the graph has an input '{}' already", name));
  const Expr result = make(input_schema(), {}, InputAttributes{name, type.dtype, type.shape});
  inputs_.push_back(result);
  add_name(result, name);
  return result;
}

Expr Graph::constant(Tensor value) { return make(constant_schema(), {}, ConstantAttributes{std::move(value)}); }
Expr Graph::scalar(double value) { return scalar(value, real_); }
Expr Graph::scalar(double value, DType dtype) {
  Expr& known = scalars_[{std::bit_cast<std::uint64_t>(value), dtype}];
  if (!known) known = constant(Tensor::scalar(dtype, value));
  return known;
}

void Graph::add_name(Expr expr, std::string name) {
  auto& of_node = names_[&expr.node()];
  if (std::find(of_node.begin(), of_node.end(), name) != of_node.end()) return;
  of_node.push_back(name);
  named_[std::move(name)].push_back(expr);
}

std::vector<std::string> Graph::names(Expr expr) const {
  const auto found = names_.find(&expr.node());
  return found == names_.end() ? std::vector<std::string>{} : found->second;
}

std::vector<Expr> Graph::find(std::string_view name) const {
  const auto found = named_.find(std::string(name));
  return found == named_.end() ? std::vector<Expr>{} : found->second;
}

std::string describe(Expr expr) {
  const std::vector<std::string> names = expr.graph().names(expr);
  const std::string name = names.empty() ? fmt::format(" %{}", expr->id) : fmt::format(" '{}'", names.front());
  return expr.op().name + name + " " + to_string(expr.type());
}

std::optional<double> constant_value(Expr expr) {
  if (!expr.is("constant")) return std::nullopt;
  const Tensor& value = expr.attributes<ConstantAttributes>().value;
  // Only small constants are looked through: this is asked while graphs are built.
  if (value.size() == 0 || value.size() > 64 || !is_floating(value.dtype())) return std::nullopt;
  for (std::int64_t i = 1; i < value.size(); ++i)
    if (!(value.at(i) == value.at(0))) return std::nullopt;
  return value.at(0);
}

std::vector<Expr> topological_order(std::span<const Expr> roots) {
  std::vector<Expr> order;
  NodeMap<bool> done;
  struct Frame {
    Expr expr;
    std::size_t next = 0;
  };
  std::vector<Frame> stack;
  for (const Expr root : roots) {
    if (!done.emplace(root, true).second) continue;
    stack.push_back({root});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next < frame.expr.operands().size()) {
        const Expr operand = frame.expr.operand(frame.next++);
        if (done.emplace(operand, true).second) stack.push_back({operand});
      } else {
        order.push_back(frame.expr);
        stack.pop_back();
      }
    }
  }
  return order;
}

}  // namespace rulegrad
