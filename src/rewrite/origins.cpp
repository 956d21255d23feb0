#include <algorithm>
#include <cmath>
#include <queue>
#include <set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/node_map.hpp"
#include "expr/node_set.hpp"
#include "expr/walk.hpp"
#include "rewrite/curves.hpp"
#include "rewrite/forward_facts.hpp"
#include "rewrite/value_functions.hpp"

/// What made a value: which operation, whether as a gate or as a statistic, seen through what only moves it.
namespace rulegrad {
namespace {

/// The value that one operation moved, whatever else it was told; nothing where it did more than that.
Expr before_routing(Expr v) {
  if (v.operands().empty() || !v.op().is(OpClass::routing, v.attributes())) return {};
  const bool alone = v.operands().size() == 1 || v.op().operand(1).role == Role::parameter;
  return alone ? v.operand(0) : Expr{};
}

/// Are the indices that a line is written at all different? `lines` of them are written each by itself.
bool different(Expr index, std::size_t shared, std::int64_t extent) {
  std::int64_t each = 1;
  for (std::size_t axis = shared; axis < index.shape().rank(); ++axis)
    each *= index.shape()[axis].batch ? 2 : index.shape()[axis].factor;
  if (each == 1) return true;
  for (Expr from = index; from; from = before_routing(from)) {
    if (from.is("top_index")) return true;
    if (from.is("expand")) return false;
  }
  if (!is_constant(index)) return false;
  const Tensor& places = index.attributes<ConstantAttributes>().value;
  for (std::int64_t line = 0; line < places.size(); line += each) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = line; i < line + each; ++i) {
      const auto place = static_cast<std::int64_t>(places.at(i));
      if (!seen.insert(place < 0 ? place + extent : place).second) return false;
    }
  }
  return true;
}

/// What is put among zeros, where nothing meets anything else there.
Expr before_placing(Expr v, bool once) {
  if (v.is("scatter_rows")) {
    const auto& a = v.attributes<ScatterRowsAttributes>();
    const bool alone = once || different(v.operand(1), static_cast<std::size_t>(a.batch), a.extent);
    return alone ? v.operand(0) : Expr{};
  }
  if (v.is("scatter_add")) {
    const bool alone = once || different(v.operand(1), 0, v.attributes<ScatterAttributes>().extent);
    return alone ? v.operand(0) : Expr{};
  }
  return {};
}

/// Is it 1 at one place of each line and 0 elsewhere, so that products with it, summed, pick or place?
bool is_selector(Expr v) {
  for (; v; v = before_routing(v)) {
    if (v.is("one_hot")) {
      const std::size_t rank = v.operand(0).shape().rank();
      return different(v.operand(0), rank == 0 ? 0 : rank - 1, v.attributes<OneHotAttributes>().depth);
    }
    if (v.is("expand")) return false;
  }
  return false;
}

}  // namespace

Expr ForwardFacts::before_choice(Expr v) const {
  const bool first = depends(v.operand(1)), second = depends(v.operand(2));
  if (first == second || !is_given(v.operand(first ? 2 : 1))) return {};
  // What is chosen by its own value is bent, as a ReLU is.
  if (changes(v.operand(0))) {
    if (sources_.empty()) sources_ = value_sources(*this);
    if (contains(v) && sources_[rank(v)]) return {};
  }
  const Expr kept = v.operand(first ? 1 : 2);
  // Written where nothing was: ones at the same places say so.
  const bool at_places = v.operand(0).is("greater") && v.operand(0).operand(0).operands().size() == 2;
  if (const Expr placed = before_placing(kept, at_places)) return placed;
  return kept;
}

Expr ForwardFacts::before_movement(Expr v) const {
  if (const Expr moved = before_routing(v)) return moved;
  if (v.is("neg")) return v.operand(0);
  if (v.is("where")) return before_choice(v);
  if (const Expr placed = before_placing(v, false)) return placed;
  if (v.is("concat")) {
    Expr only;
    for (const Expr part : v.operands()) {
      if (!depends(part) && number_everywhere(part) == 0.0) continue;
      if (only) return {};
      only = part;
    }
    return only;
  }
  Expr product = v;
  if (v.is("sum"))
    for (product = v.operand(0); product && !product.is("mul");) product = before_routing(product);
  if (product && (v.is("sum") || v.is("matmul")))
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}})
      if (!depends(product.operand(1 - i)) && is_selector(product.operand(1 - i))) return product.operand(i);
  return {};
}

Expr ForwardFacts::producer(Expr v) const {
  while (true) {
    if (const Expr before = before_movement(v)) {
      v = before;
      continue;
    }
    // What is linear in one of two operands, where the other is given.
    const LinearIn linear = v.op().linear_in.value_or(LinearIn::nothing);
    if (linear == LinearIn::nothing || v.operands().size() != 2) return v;
    const bool left = depends(v.operand(0)), right = depends(v.operand(1));
    if (left == right || (right && linear == LinearIn::first)) return v;
    v = v.operand(left ? 0 : 1);
  }
}

namespace {

/// What a statistic is made by: it moves, counts and bends numbers, and knows no weights.
enum class Made : std::uint8_t { otherwise, plainly, by_reduction };
Made made(Expr node) {
  const OpSchema& schema = node.op();
  if (schema.reduces || schema.is(OpClass::pool)) return Made::by_reduction;
  const bool plain = schema.is(OpClass::elementwise) || schema.is(OpClass::routing) ||
                     schema.is(OpClass::activation) || schema.name == "const";
  return plain && !node.operands().empty() ? Made::plainly : Made::otherwise;
}

}  // namespace

bool ForwardFacts::is_statistic(Expr c, Expr a) const {
  return is_statistic(c, std::span(&a, 1)) && !is_ancestor(c, a);
}

bool ForwardFacts::is_statistic(Expr c, std::span<const Expr> parts) const {
  // A state or a residual stream is made by sums from one end of a network to the other: both walks go down by rank, so
  // that neither looks further than the other has come.
  struct Visit {
    std::size_t rank;
    Expr node;
    bool through;  ///< a reduction
    bool operator<(const Visit& other) const { return rank < other.rank; }
  };
  const auto visit = [&](Expr node, bool through = false) { return Visit{rank(node), node, through}; };
  // What the parts are made of, down to what layers give.
  NodeSet origins;
  std::priority_queue<Visit> open;
  for (const Expr part : parts)
    if (origins.insert(part)) open.push(visit(part));
  const auto is_origin = [&](Expr node) {
    for (const std::size_t least = rank(node); !open.empty() && open.top().rank >= least;) {
      const Expr from = open.top().node;
      open.pop();
      if (made(from) == Made::otherwise || is_explained(from)) continue;
      for (const Expr operand : from.operands())
        if (depends(operand) && origins.insert(operand)) open.push(visit(operand));
    }
    return origins.contains(node);
  };
  // Every way from c to them leads through a reduction: x - mean(x) is no statistic, what is made of mean(x)
  // alone is.
  bool reduced = false;
  NodeSet above, below;
  std::priority_queue<Visit> ways;
  ways.push(visit(c));
  while (!ways.empty()) {
    const Expr node = ways.top().node;
    const bool through = ways.top().through || made(node) == Made::by_reduction;
    ways.pop();
    if (!(through ? below : above).insert(node)) continue;
    reduced = reduced || through;
    if (is_origin(node)) {
      if (!through) return false;
      continue;
    }
    if (made(node) == Made::otherwise || is_explained(node)) return false;
    for (const Expr operand : node.operands())
      if (depends(operand)) ways.push(visit(operand, through));
  }
  return reduced;
}

namespace {

/// What an expression is made of down to the source, operands before users.
std::vector<Expr> order_down_to(Expr root, Expr source) {
  return order_until(std::span(&root, 1), [&](Expr e) { return e == source; });
}

/// Bounds of an expression whatever the source is.
Interval bounds_over(Expr root, Expr source) {
  NodeMap<Interval> bounds;
  bounds.emplace(source, Interval{});
  for (const Expr node : order_down_to(root, source)) {
    if (bounds.contains(node)) continue;
    std::vector<Interval> below;
    for (const Expr operand : node.operands()) below.push_back(bounds.at(operand));
    const auto number = constant_value(node);
    bounds.emplace(node, number ? Interval{*number, *number} : node.op().interval_of(node, below));
  }
  return bounds.at(root);
}

}  // namespace

std::optional<double> value_for(Expr expression, Expr source, double x) {
  NodeMap<double> values;
  values.emplace(source, x);
  for (const Expr node : order_down_to(expression, source)) {
    if (values.contains(node)) continue;
    if (const auto number = constant_value(node)) {
      values.emplace(node, *number);
      continue;
    }
    std::vector<double> numbers;
    std::vector<Interval> points;
    for (const Expr operand : node.operands()) {
      if (!values.contains(operand)) break;
      numbers.push_back(values.at(operand));
      points.push_back({numbers.back(), numbers.back()});
    }
    if (numbers.size() != node.operands().size()) continue;
    if (const Curve curve = curve_of(node.op())) {
      values.emplace(node, curve(numbers));
      continue;
    }
    if (node.op().fold && !numbers.empty()) {
      values.emplace(node, node.op().fold(numbers));
      continue;
    }
    const Interval at = node.op().interval_of(node, points);
    if (at.high - at.low <= 1e-5 * (1 + std::abs(at.low))) values.emplace(node, at.low);
  }
  const auto found = values.find(expression);
  return found == values.end() ? std::nullopt : std::optional(found->second);
}

bool ForwardFacts::is_gate(Expr v, int depth) const {
  constexpr int deepest = 200;  // of products in products
  v = producer(v);
  if (v.is("sigmoid") || v.is("hardsigmoid") || v.is("softmax")) return true;
  if (v.is("mul") || v.is("product3") || v.is("product4")) {
    if (const auto known = gates_.find(v); known != gates_.end()) return known->second;
    const bool given = !v.is("mul") || (depends(v.operand(0)) && depends(v.operand(1)));
    const bool all = given && depth < deepest &&
                     std::all_of(v.operands().begin(), v.operands().end(),
                                 [&](Expr factor) { return is_gate(factor, depth + 1); });
    gates_.emplace(v, all);
    return all;
  }
  if (v.is("clip"))
    return v.attributes<ClipAttributes>().low >= 0 && v.attributes<ClipAttributes>().high <= 1;
  if (!v.op().expansion || v.operands().empty()) return false;
  if (!v.op().is(OpClass::activation)) return false;
  const std::vector<Expr> operands(v.operands().begin(), v.operands().end());
  const Expr written = v.op().expansion(operands);
  // Constants are rounded to float32.
  const auto within = [](double low, double high) { return low >= -1e-6 && high <= 1 + 1e-6; };
  if (const Interval bounds = bounds_over(written, operands[0]); within(bounds.low, bounds.high)) return true;
  std::vector<double> values;
  for (int i = -60; i <= 60; ++i) {
    const auto value = value_for(written, operands[0], i * 0.5);
    if (!value || !(*value >= -1e-6)) return false;
    values.push_back(*value);
  }
  if (const double largest = *std::max_element(values.begin(), values.end()); within(0, largest)) return true;
  // A factor of a hard sigmoid may stand anywhere in the product: x clip(z + 3, 0, 6) / 6. It is the same on both
  // sides of its middle, as what a ReLU6 gives is not.
  if (std::abs(values[0] - values[20]) + std::abs(values[120] - values[100]) > 1e-3 * values[60])
    return false;
  for (std::size_t i = 1; i <= 60; ++i)
    if (std::abs(values[60 + i] + values[60 - i] - 2 * values[60]) > 1e-4 * values[60]) return false;
  return true;
}

}  // namespace rulegrad
