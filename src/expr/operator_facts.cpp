#include "rulegrad/expr/operator_facts.hpp"

#include <algorithm>
#include <cmath>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

Interval OpSchema::interval_of(Expr value, std::span<const Interval> of_operands) const {
  const bool truth = value.dtype() == DType::boolean;
  const Interval result = interval ? interval(value, of_operands) : Interval{};
  return truth ? Interval{std::max(result.low, 0.0), std::min(result.high, 1.0)} : result;
}

BatchFlow OpSchema::batch_of(Expr value, std::span<const std::optional<BatchPlace>> of_operands) const {
  if (batch) return batch(value, of_operands);
  // The class says it: each element of the result is made of the elements in its place.
  return is(OpClass::elementwise) ? batches::aligned(value, of_operands)
                                  : batches::mixing(value, of_operands);
}

Asks OpSchema::asks_of(Expr value, std::size_t position) const {
  return decides ? decides(value, position) : Asks::everything;
}

std::vector<std::string> OpSchema::unsaid() const {
  std::vector<std::string> result;
  const auto say = [&](bool said, const char* what) {
    if (!said) result.emplace_back(what);
  };
  say(!doc.empty(), "doc");
  say(infer != nullptr, "infer");
  // What stands for an expression of others says what they say.
  say(interval != nullptr || expansion != nullptr, "interval");
  say(batch != nullptr || expansion != nullptr, "batch");
  say(decides != nullptr || expansion != nullptr, "decides");
  say(examples != nullptr, "examples");
  return result;
}

namespace intervals {

using Given = std::span<const Interval>;

Interval anything(Expr, Given) {
  return {};
}
Interval same(Expr, Given operands) {
  return operands[0];
}
Interval any_of(Expr, Given operands) {
  return either(operands);
}
Interval sums_of_first(Expr, Given operands) {
  return sums(operands[0]);
}

Interval contraction(Expr, Given x) {
  const Interval result = sums(product(x[0], x[1]));
  return x.size() > 2 ? sums(either(result, x[2])) : result;
}

IntervalOf within(Interval bounds) {
  return [bounds](Expr, Given) { return bounds; };
}

IntervalOf rising(double (*f)(double)) {
  return [f](Expr, Given x) { return rounded({f(x[0].low), f(x[0].high)}); };
}

Interval either(Interval a, Interval b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

Interval either(Given all) {
  Interval result = all[0];
  for (const Interval& one : all.subspan(1)) result = either(result, one);
  return result;
}

Interval rounded(Interval x) {
  const auto wider = [](double bound, double factor) {
    return bound == 0 || std::isinf(bound) ? bound : bound * factor;
  };
  constexpr double little = 1e-6;
  return {wider(x.low, x.low > 0 ? 1 - little : 1 + little),
          wider(x.high, x.high > 0 ? 1 + little : 1 - little)};
}

Interval sums(Interval term) {
  if (term.is_zero()) return zero;
  return {term.low >= 0 ? 0 : -infinite, term.high <= 0 ? 0 : infinite};
}

Interval negated(Interval x) {
  return {-x.high, -x.low};
}

Interval added(Interval a, Interval b) {
  return rounded({a.low + b.low, a.high + b.high});
}

Interval product(Interval a, Interval b) {
  const auto times = [](double x, double y) { return x == 0 || y == 0 ? 0 : x * y; };
  const auto [low, high] =
      std::minmax({times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)});
  return rounded({low, high});
}

Interval quotient(Interval a, Interval b) {
  if (a.is_zero()) return zero;
  if (b.low >= 0) return sums(a);
  if (b.high <= 0) return sums(negated(a));
  return {};
}

}  // namespace intervals

namespace batches {
namespace {

const BatchFlow mixes{true, std::nullopt};

}  // namespace

BatchFlow mixing(Expr, Places) {
  return mixes;
}

BatchFlow aligned(Expr value, Places operands) {
  const std::size_t rank = value.shape().rank();
  std::optional<BatchPlace> result;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    auto at = operands[i];
    if (!at) continue;
    const Shape& shape = value.operand(i).shape();
    if (rank < shape.rank() && at->axis < shape.rank() - rank) return mixes;
    const bool symbolic = shape[at->axis].batch;
    at->axis = at->axis + rank - shape.rank();
    if (symbolic && !value.shape()[at->axis].batch) return mixes;
    if (result && *result != *at) return mixes;
    result = at;
  }
  return {false, result};
}

BatchFlow in_front(Expr value, Places operands) {
  std::optional<BatchPlace> result;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const auto& at = operands[i];
    if (!at) continue;
    if (at->axis != 0 || (result && *result != *at) || (value.op().is(OpClass::affine) && i > 0))
      return mixes;
    result = at;
  }
  return {false, result};
}

BatchFlow same(Expr, Places operands) {
  return alone(operands) ? BatchFlow{false, operands[0]} : mixes;
}

BatchFlow declared(Expr value, Places) {
  for (std::size_t axis = 0; axis < value.shape().rank(); ++axis)
    if (value.shape()[axis].batch) return {false, BatchPlace{axis, 1, value.shape()[axis].factor}};
  return {};
}

BatchFlow nowhere(Expr, Places) {
  return {};
}

bool alone(Places operands) {
  return !operands.empty() && operands[0] &&
         std::none_of(operands.begin() + 1, operands.end(), [](const auto& at) { return at.has_value(); });
}

BatchFlow but_along(Expr value, Places operands, std::int64_t axis) {
  const auto rank = static_cast<std::int64_t>(value.operand(0).shape().rank());
  const std::int64_t counted = axis < 0 ? axis + rank : axis;
  return alone(operands) && counted != static_cast<std::int64_t>(operands[0]->axis)
             ? BatchFlow{false, operands[0]}
             : mixes;
}

}  // namespace batches

namespace decisions {

Asks none(Expr, std::size_t) {
  return Asks::nothing;
}
Asks everything(Expr, std::size_t) {
  return Asks::everything;
}

AsksOf each(std::vector<Asks> operands) {
  return [operands = std::move(operands)](Expr, std::size_t position) {
    return operands[std::min(position, operands.size() - 1)];
  };
}

}  // namespace decisions

}  // namespace rulegrad
