#include "onnx/chain_probe.hpp"

#include <cmath>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/node_map.hpp"
#include "onnx/graph_value.hpp"

namespace rulegrad::io {

ChainProbe::ChainProbe(const ValueChain& chain) {
  std::size_t count = 0;
  for (const ValueChain::Step& step : chain.steps) count += step.nodes.size();
  NodeMap<std::size_t> places(count + 1);
  // A node may stand in one step only; what it reads stands before it there, or ends the step behind.
  std::size_t next = 0;
  for (const ValueChain::Step& step : chain.steps) {
    first_.push_back(next);
    for (const Expr node : step.nodes) places.emplace(node, next++);
  }
  first_.push_back(next);
  places.emplace(chain.source, next);
  values_.resize(count + 1);
  for (const ValueChain::Step& step : chain.steps) {
    auto& nodes = steps_.emplace_back();
    for (const Expr expr : step.nodes) {
      Node node{expr, how_of(expr), curve_of(expr.op()), {}, true};
      for (const Expr operand : expr.operands()) {
        if (const auto place = places.find(operand); place != places.end()) {
          node.operands.push_back({place->second, 0, false});
          continue;
        }
        const auto number = number_everywhere(operand);
        node.possible = node.possible && number;
        node.operands.push_back({0, number.value_or(0), true});
      }
      nodes.push_back(std::move(node));
    }
  }
}

ChainProbe::How ChainProbe::how_of(Expr node) {
  // Of whole numbers kernels divide and round as C++ does.
  if (!is_floating(node.dtype()) && node.dtype() != DType::boolean) return How::unknown;
  if (node.op().fold) return How::fold;
  if (curve_of(node.op()) != nullptr) return How::curve;
  return node.op().interval ? How::bounds : How::unknown;
}

std::optional<double> ChainProbe::computed(const Node& node, const std::vector<double>& x) {
  switch (node.how) {
    case How::fold:
      return node.expr.op().fold(x);
    case How::curve:
      return node.curve(x);
    case How::bounds: {
      std::vector<Interval> points;
      for (const double number : x) points.push_back({number, number});
      const Interval at = node.expr.op().interval_of(node.expr, points);
      // Bounds of what is rounded lie a little beside it, to both sides (intervals::rounded).
      const double middle = (at.low + at.high) / 2;
      if (at.high - at.low <= 3e-6 * std::abs(middle) + 1e-12) return middle;
      return std::nullopt;
    }
    case How::unknown:
      break;
  }
  return std::nullopt;
}

void ChainProbe::start(std::size_t end, double place) {
  values_[first_[end]] = place;
}

bool ChainProbe::take(std::size_t step) {
  const auto& nodes = steps_[step];
  last_ = first_[step];
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Node& node = nodes[i];
    if (!node.possible) return false;
    numbers_.clear();
    for (const Operand& operand : node.operands)
      if (operand.is_number)
        numbers_.push_back(operand.number);
      else if (const auto known = values_[operand.place])
        numbers_.push_back(*known);
    values_[last_ + i] =
        numbers_.size() == node.operands.size() ? computed(node, numbers_) : std::optional<double>();
  }
  return true;
}

std::optional<double> ChainProbe::value_at(std::size_t begin, std::size_t end, double place) {
  start(end, place);
  for (std::size_t step = end; step-- > begin;)
    if (!take(step)) return std::nullopt;
  return value();
}

}  // namespace rulegrad::io
