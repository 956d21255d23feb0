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

FiniteFor OpSchema::finite_for(Expr value, std::size_t position) const {
  if (finite) return finite(value, position);
  // The expression that it stands for says it of itself, where it is written out.
  return expansion ? FiniteFor::all : FiniteFor::none;
}

NonFinite OpSchema::passed_on(Expr value, std::span<const NonFinite> of_operands,
                              std::span<const Interval> bounds) const {
  return passes ? passes(value, of_operands, bounds) : passing::anything(value, of_operands, bounds);
}

std::optional<std::vector<std::int64_t>> OpSchema::coupled_axes(Expr value) const {
  if (couples) return couples(value);
  return is(OpClass::elementwise) || is(OpClass::activation) ? std::optional(std::vector<std::int64_t>())
                                                             : std::nullopt;
}

std::optional<std::size_t> OpSchema::channel_axis(Expr value) const {
  if (!channels) return std::nullopt;
  const auto rank = static_cast<std::int64_t>(value.shape().rank());
  return static_cast<std::size_t>(channels->result < 0 ? channels->result + rank : channels->result);
}

std::vector<std::string> OpSchema::unsaid() const {
  std::vector<std::string> result;
  const auto none_of = [&](const char* what) {
    return std::find(without.begin(), without.end(), what) != without.end();
  };
  const auto say = [&](bool said, const char* what) {
    if (!said) result.emplace_back(what);
  };
  say(!doc.empty(), "doc");
  say(infer != nullptr, "infer");
  // What stands for an expression of others says what they say.
  say(interval != nullptr || expansion != nullptr, "interval");
  say(batch != nullptr || expansion != nullptr, "batch");
  say(decides != nullptr || expansion != nullptr, "decides");
  say(finite != nullptr || expansion != nullptr, "finite");
  say(passes != nullptr || expansion != nullptr, "passes");
  say(!derivatives.empty() || expansion != nullptr || none_of("derivative"), "derivative");
  if (is(OpClass::elementwise)) {
    say(fold != nullptr || expansion != nullptr || none_of("fold"), "fold");
    say(linear_in.has_value() || expansion != nullptr, "linear_in");
  }
  if (is(OpClass::affine)) say(channels.has_value(), "channels");
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

Interval totals_of_first(Expr, Given operands) {
  Interval result = sums(operands[0]);
  result.above_low = operands[0].is_positive();
  return result;
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
  const bool above = a.low < b.low ? a.above_low : b.low < a.low ? b.above_low : a.above_low && b.above_low;
  return {std::min(a.low, b.low), std::max(a.high, b.high), above};
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
          wider(x.high, x.high > 0 ? 1 + little : 1 - little), x.above_low};
}

Interval sums(Interval term) {
  if (term.is_zero()) return zero;
  return {term.low >= 0 ? 0 : -infinite, term.high <= 0 ? 0 : infinite};
}

Interval negated(Interval x) {
  return {-x.high, -x.low};
}

Interval added(Interval a, Interval b) {
  // Beside what may be negative little is lost in the rounding.
  const bool above = (a.is_positive() && b.low >= 0) || (b.is_positive() && a.low >= 0);
  return rounded({a.low + b.low, a.high + b.high, above});
}

Interval product(Interval a, Interval b) {
  const auto times = [](double x, double y) { return x == 0 || y == 0 ? 0 : x * y; };
  const auto [low, high] =
      std::minmax({times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)});
  return rounded({low, high, a.is_positive() && b.is_positive()});
}

Interval quotient(Interval a, Interval b) {
  if (a.is_zero()) return zero;
  if (b.low >= 0) {
    Interval result = sums(a);
    result.above_low = a.is_positive() && b.is_positive();
    return result;
  }
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

namespace finite {

FiniteFor always(Expr, std::size_t) {
  return FiniteFor::all;
}
FiniteFor never(Expr, std::size_t) {
  return FiniteFor::none;
}

FiniteOf each(std::vector<FiniteFor> operands) {
  return [operands = std::move(operands)](Expr, std::size_t position) {
    return operands[std::min(position, operands.size() - 1)];
  };
}

bool holds(FiniteFor wanted, Interval x) {
  switch (wanted) {
    case FiniteFor::all:
      return true;
    case FiniteFor::not_large:
      return x.high <= 0;
    case FiniteFor::not_zero:
      return x.is_positive() || x.high < 0;
    case FiniteFor::not_negative:
      return x.low >= 0;
    case FiniteFor::positive:
      return x.is_positive();
    case FiniteFor::within_one:
      return x.low >= -1 && x.high <= 1;
    case FiniteFor::inside_one:
      return x.low > -1 && x.high < 1;
    case FiniteFor::from_one:
      return x.low >= 1;
    case FiniteFor::none:
      break;
  }
  return false;
}

}  // namespace finite

namespace passing {

NonFinite united(Given operands) {
  NonFinite all = 0;
  for (const NonFinite bits : operands) all = static_cast<NonFinite>(all | bits);
  return all;
}

NonFinite negated(NonFinite x) {
  using namespace non_finite;
  return static_cast<NonFinite>((x & nan) | ((x & low) != 0 ? high : 0) | ((x & high) != 0 ? low : 0));
}

NonFinite added(NonFinite a, NonFinite b) {
  using namespace non_finite;
  // inf - inf
  const bool opposed = ((a & low) != 0 && (b & high) != 0) || ((a & high) != 0 && (b & low) != 0);
  return static_cast<NonFinite>(a | b | (opposed ? nan : 0));
}

NonFinite anything(Expr, Given operands, Bounds) {
  return united(operands) == 0 ? NonFinite{0} : non_finite::any;
}
NonFinite moved(Expr, Given operands, Bounds) {
  return united(operands);
}
NonFinite summed(Expr, Given operands, Bounds) {
  return added(united(operands), united(operands));
}
NonFinite from_below(Expr, Given operands, Bounds) {
  return static_cast<NonFinite>(operands[0] & (non_finite::high | non_finite::nan));
}
NonFinite bounded(Expr, Given operands, Bounds) {
  return static_cast<NonFinite>(operands[0] & non_finite::nan);
}

}  // namespace passing

}  // namespace rulegrad
