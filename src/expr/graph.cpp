#include <algorithm>
#include <bit>
#include <boost/container/small_vector.hpp>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/limits.hpp"
#include "expr/node_map.hpp"
#include "expr/rebuild.hpp"
#include "support/hash.hpp"
#include "support/text.hpp"

namespace rulegrad {

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
    throw Error(ErrorCode::dtype,
                fmt::format("a graph computes in float32 or float64, not in {}", name_of(real)));
}
Graph::~Graph() = default;

template <class Same>
std::size_t Graph::place_of(std::uint32_t hash, std::span<const Expr> operands, const Same& same) const {
  constexpr std::size_t line = 64 / sizeof(Interned);
  const std::size_t mask = interned_.size() - 1;
  const auto ends = [&](std::size_t slot) {
    const Interned& found = interned_[slot];
    return found.node == 0 || (found.hash == hash && same(node(found.node - 1)));
  };
  std::size_t youngest = hash >> 3;
  if (!operands.empty()) {
    youngest = operands[0]->id;
    for (const Expr operand : operands.subspan(1)) youngest = std::max<std::size_t>(youngest, operand->id);
  }
  const std::size_t first = youngest * line & mask;
  for (std::size_t slot = first; slot < first + line; ++slot)
    if (ends(slot)) return slot;
  // The line is full for good: nothing is ever taken out. Full lines lie side by side, so an odd step of its
  // own leads away.
  const std::size_t step = (hash >> 7 | 1) & mask;
  std::size_t slot = hash & mask;
  while (!ends(slot)) slot = (slot + step) & mask;
  return slot;
}

std::span<const Expr> Graph::kept(std::span<const Expr> operands) {
  constexpr std::size_t block = 1024;
  if (operands_.empty() || operands_.back().capacity() - operands_.back().size() < operands.size())
    operands_.emplace_back().reserve(std::max(block, operands.size()));
  std::vector<Expr>& last = operands_.back();
  last.insert(last.end(), operands.begin(), operands.end());
  return std::span<const Expr>(last).last(operands.size());
}

void Graph::grow_interned() {
  interned_.assign(std::max<std::size_t>(64, interned_.size() * 4), {});
  for (const std::vector<Node>& block : nodes_)
    for (const Node& node : block)
      if (!node.apart)
        interned_[place_of(node.hash, node.operands, [](const Node&) { return false; })] = {node.hash,
                                                                                            node.id + 1};
}

namespace {

/// The operands' types as operators see them: without the sample axis.
boost::container::small_vector<Type, 4> types_of(std::span<const Expr> operands) {
  boost::container::small_vector<Type, 4> types;
  types.reserve(operands.size());
  for (const Expr operand : operands) types.push_back({operand.dtype(), operand.shape().with_samples(false)});
  return types;
}

Attributes checked_attributes(const OpSchema& op, Attributes attributes) {
  if (&attributes.type() == op.attributes) return attributes;
  if (&attributes.type() != &attr_type<NoAttributes>())
    throw Error(ErrorCode::internal, fmt::format("[{}] was given attributes of kind '{}' instead of '{}'",
                                                 op.name, attributes.type().name, op.attributes->name));
  return Attributes::make(*op.attributes, {});
}

}  // namespace

Expr Graph::make(const OpSchema& op, std::vector<Expr> operands, Attributes attributes) {
  check_count(op, operands.size());
  for (const Expr operand : operands)
    if (&operand.graph() != this)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[{}] operand {} belongs to another graph", op.name, describe(operand)));
  if (!op.variadic())
    while (operands.size() < op.operands.size()) operands.push_back(scalar(0));
  attributes = checked_attributes(op, std::move(attributes));
  boost::container::small_vector<Type, 4> types;
  if (op.normalize) {
    limits::require_in_range(op, attributes);
    types = types_of(operands);
    attributes = op.normalize({types.data(), types.size()}, attributes);
  }

  const std::size_t wide = hash_of(op, operands, attributes);
  const auto hash = static_cast<std::uint32_t>(wide ^ wide >> 32);
  if (size_ * 2 >= interned_.size()) grow_interned();
  const std::size_t place = place_of(hash, operands, [&](const Node& node) {
    return node.op == &op && std::ranges::equal(node.operands, operands) && node.attributes == attributes;
  });
  if (interned_[place].node != 0) return Expr(&node(interned_[place].node - 1));

  if (!op.normalize) {
    limits::require_in_range(op, attributes);
    types = types_of(operands);
  }
  bool sampled = false;
  std::uint32_t loops = 0;
  for (const Expr operand : operands) {
    sampled = sampled || operand.shape().sampled();
    loops |= operand.loops();
  }
  limits::require_room(op, size_);
  Type type = op.infer({types.data(), types.size()}, attributes);
  limits::require_storable(op, type);
  // Operators do not see the sample axis: whatever depends on a sampled value is sampled (leaves say it
  // themselves).
  sampled = type.shape.sampled() || sampled;
  if (op.loops) {
    loops = op.loops(loops, attributes);
    sampled = loops != 0;
  }
  type.shape = type.shape.with_samples(sampled);
  Node& made =
      appended(Node{0, hash, &op, kept(operands), std::move(attributes), std::move(type), this, loops});
  interned_[place] = {hash, made.id + 1};
  return Expr(&made);
}

Node& Graph::appended(Node node) {
  if (size_ % block_size == 0) nodes_.emplace_back().reserve(block_size);
  node.id = static_cast<std::uint32_t>(size_++);
  nodes_.back().push_back(std::move(node));
  return nodes_.back().back();
}

Expr Graph::apply(const OpSchema& op, std::vector<Expr> operands, Attributes attributes) {
  if (op.simpler) {
    check_count(op, operands.size());
    attributes = checked_attributes(op, std::move(attributes));
    limits::require_in_range(op, attributes);
    if (op.normalize) {
      const auto types = types_of(operands);
      attributes = op.normalize({types.data(), types.size()}, attributes);
    }
    if (const std::optional<Expr> simple = op.simpler(operands, attributes)) return *simple;
  }
  return make(op, std::move(operands), std::move(attributes));
}

Expr Graph::input(const std::string& name, Type type) {
  for (const Expr existing : find(name))
    if (is_input(existing) && existing.attributes<InputAttributes>().name == name)
      throw Error(ErrorCode::invalid_argument, fmt::format("the graph has an input '{}' already", name));
  const Expr result = make(input_schema(), {}, InputAttributes{name, type.dtype, type.shape});
  inputs_.push_back(result);
  add_name(result, name);
  return result;
}

Expr Graph::constant(Tensor value) {
  return make(constant_schema(), {}, ConstantAttributes{std::move(value)});
}
Expr Graph::parameter(Tensor value) {
  const OpSchema& op = constant_schema();
  limits::require_room(op, size_);
  const Attributes attributes = ConstantAttributes{std::move(value)};
  Type type = op.infer({}, attributes);
  limits::require_storable(op, type);
  Node node{
      0, static_cast<std::uint32_t>(hash_of(op, {}, attributes)), &op, {}, attributes, std::move(type), this};
  node.apart = true;
  return Expr(&appended(std::move(node)));
}
Expr Graph::scalar(double value) {
  return scalar(value, real_);
}
Expr Graph::scalar(double value, DType dtype) {
  Expr& known = scalars_[{std::bit_cast<std::uint64_t>(value), dtype}];
  if (!known) known = constant(Tensor::scalar(dtype, value));
  return known;
}

void Graph::keep_alive(std::shared_ptr<const OpSchema> op) {
  if (std::find(kept_.begin(), kept_.end(), op) == kept_.end()) kept_.push_back(std::move(op));
}

void Graph::add_name(Expr expr, std::string name) {
  auto& of_node = names_[&expr.node()];
  auto& of_name = named_[name];
  // A node may have a hundred thousand names (of values that are passed on), and a name as many nodes.
  if (of_node.size() < of_name.size() ? std::find(of_node.begin(), of_node.end(), name) != of_node.end()
                                      : std::find(of_name.begin(), of_name.end(), expr) != of_name.end())
    return;
  of_node.push_back(std::move(name));
  of_name.push_back(expr);
  nodes_[expr->id / block_size][expr->id % block_size].named = true;
}

const std::vector<std::string>& Graph::names(Expr expr) const {
  static const std::vector<std::string> none;
  return expr->named ? names_.at(&expr.node()) : none;
}

std::vector<Expr> Graph::find(std::string_view name) const {
  const auto found = named_.find(std::string(name));
  return found == named_.end() ? std::vector<Expr>{} : found->second;
}

std::string describe(Expr expr) {
  const std::vector<std::string>& names = expr.graph().names(expr);
  std::string text = expr.op().name;
  if (names.empty())
    text.append(" %").append(fmt::format_int(expr->id).str());
  else
    text.append(" '").append(names.front()).append("'");
  return text.append(" ").append(to_string(expr.type()));
}

std::optional<double> constant_value(Expr expr) {
  if (&expr.op() != &constant_schema()) return std::nullopt;
  const Tensor& value = expr.attributes<ConstantAttributes>().value;
  // Only small constants are looked through: this is asked while graphs are built.
  if (value.size() == 0 || value.size() > 64 || !is_floating(value.dtype())) return std::nullopt;
  for (std::int64_t i = 1; i < value.size(); ++i)
    if (!(value.at(i) == value.at(0))) return std::nullopt;
  return value.at(0);
}

std::vector<Expr> topological_order(std::span<const Expr> roots) {
  return order_until(roots, no_boundary);
}

std::vector<Expr> written_out(std::span<const Expr> roots, const std::function<bool(const OpSchema&)>& keep) {
  std::vector<Expr> result(roots.begin(), roots.end());
  const auto is_expanded = [&](Expr node) {
    return node.op().expansion != nullptr && !(keep && keep(node.op()));
  };
  const Rebuild write{no_boundary, [&](Expr node, std::span<const Expr> operands) {
                        const Expr written =
                            is_expanded(node) ? node.op().expansion(operands) : again(node, operands);
                        hand_on_names(node, written);
                        return written;
                      }};
  // Expansions may hold other such operators: once for each level of them.
  while (std::ranges::any_of(topological_order(result), is_expanded)) {
    NodeMap<Expr> images;
    for (Expr& root : result) root = write(root, images);
  }
  return result;
}

}  // namespace rulegrad
