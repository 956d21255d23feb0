#include "onnx/specials.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <vector>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/walk.hpp"
#include "onnx/graph_value.hpp"

namespace rulegrad::io {
namespace {

NonFinite bits_of(double value) {
  if (std::isnan(value)) return non_finite::nan;
  if (std::isinf(value)) return value < 0 ? non_finite::low : non_finite::high;
  return 0;
}

NonFinite bits_of(const Tensor& value) {
  NonFinite bits = 0;
  dispatch(value.dtype(), [&]<class T>(T) {
    if constexpr (std::is_floating_point_v<T>)
      for (const T v : value.values<T>())
        if (!std::isfinite(v)) bits = static_cast<NonFinite>(bits | bits_of(static_cast<double>(v)));
  });
  return bits;
}

/// The axis of an operand that broadcasts, seen from the axis of the result; nothing where it is stretched.
std::optional<std::size_t> axis_in(Expr operand, Expr result, std::size_t axis) {
  const std::size_t missing = result.shape().rank() - operand.shape().rank();
  if (axis < missing || (operand.shape()[axis - missing].is(1) && !result.shape()[axis].is(1)))
    return std::nullopt;
  return axis - missing;
}

/// Is some line along the axis of a constant nothing but -inf (or, of a flag, nothing but `flag`)?
template <class Test>
bool some_line_is(const Tensor& value, std::size_t axis, Test test) {
  std::int64_t inner = 1;
  for (std::size_t a = axis + 1; a < value.rank(); ++a) inner *= value.dims()[a];
  const std::int64_t extent = value.dims()[axis],
                     outer = value.size() / std::max<std::int64_t>(1, extent * inner);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      bool all = true;
      for (std::int64_t k = 0; all && k < extent; ++k) all = test(value.at((o * extent + k) * inner + i));
      if (all) return true;
    }
  return false;
}

}  // namespace

Specials SpecialValues::of(Expr root) {
  post_order(
      root, [&](Expr e) { return known_.contains(e); }, no_leaf,
      [&](Expr e) { known_.emplace(e, work_out(e)); });
  return known_.at(root);
}

Specials SpecialValues::work_out(Expr expr) {
  if (!is_floating(expr.dtype())) return {};
  if (const Tensor* array = array_of(expr)) return {bits_of(*array), 0};
  if (const auto* fill = fill_of(expr)) return {bits_of(fill->value), 0};
  if (expr.operands().empty()) return {0, finite_inputs_ ? NonFinite{0} : non_finite::any};
  const OpSchema& op = expr.op();
  std::vector<NonFinite> stored, all;
  std::vector<Interval> bounds;
  for (const Expr operand : expr.operands()) {
    const Specials& of = known_.at(operand);
    stored.push_back(of.stored);
    all.push_back(of.all());
    bounds.push_back(intervals_.of(operand));
  }
  Specials result{op.passed_on(expr, stored, bounds), 0};
  // Programs look through the results of contractions.
  const auto kernel = kernels_.find(op.name);
  if (kernel != nullptr && kernel->contraction) {
    result.made = finite_inputs_ ? NonFinite{0} : non_finite::any;
    return result;
  }
  result.made = op.passed_on(expr, all, bounds);
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const FiniteFor wanted = op.finite_for(expr, i);
    // What only overflows is taken to be finite, as sums and products are.
    if (wanted != FiniteFor::not_large && !finite::holds(wanted, bounds[i])) result.made = non_finite::any;
  }
  // A line of nothing but -inf has no shares.
  const auto lines = op.coupled_axes(expr);
  if (lines && lines->size() == 1 && (all[0] & non_finite::low) != 0 &&
      may_be_all_low(expr.operand(0), static_cast<std::size_t>(lines->front())))
    result.made |= non_finite::nan;
  return result;
}

bool SpecialValues::may_be_all_low(Expr expr, std::size_t axis, int depth) {
  // Masks are added once or twice; what is deeper may be anything.
  if (depth > 100) return true;
  if ((of(expr).all() & non_finite::low) == 0) return false;
  if (const Tensor* array = array_of(expr))
    return some_line_is(*array, axis, [](double v) { return std::isinf(v) && v < 0; });
  const auto of_operand = [&](Expr operand) {
    const auto own = axis_in(operand, expr, axis);
    // What is stretched along the axis is -inf everywhere or nowhere.
    return own ? may_be_all_low(operand, *own, depth + 1) : (of(operand).all() & non_finite::low) != 0;
  };
  if (expr.is("add") || expr.is("sub")) {
    const bool a = of(expr.operand(0)).all() != 0;
    const bool b = of(expr.operand(1)).all() != 0;
    if (a && b) return true;
    return of_operand(expr.operand(a ? 0 : 1));
  }
  if (expr.is("expand")) return of_operand(expr.operand(0));
  if ((expr.is("mul") || expr.is("div")) && uniform_value(expr.operand(1)).value_or(0) > 0)
    return of_operand(expr.operand(0));
  if (expr.is("where") && is_constant(expr.operand(0))) {
    // -inf where a known condition says so: some line says so everywhere?
    const Expr condition = expr.operand(0);
    const auto own = axis_in(condition, expr, axis);
    const bool first = (of(expr.operand(1)).all() & non_finite::low) != 0;
    const bool second = (of(expr.operand(2)).all() & non_finite::low) != 0;
    if (!own || (first && second)) return true;
    return some_line_is(*array_of(condition), *own, [&](double v) { return (v != 0) == first; });
  }
  return true;
}

std::optional<Expr> SpecialValues::source(Expr root) {
  std::unordered_set<Expr> seen;
  for (const Expr expr : topological_order(std::span(&root, 1))) {
    (void)of(expr);
    if (is_given(expr) && known_.at(expr).stored != 0)
      seen.insert(expr);
    else
      for (const Expr operand : expr.operands())
        if (seen.contains(operand) && known_.at(expr).stored != 0) seen.insert(expr);
  }
  if (!seen.contains(root)) return std::nullopt;
  // Back along what carries it.
  Expr at = root;
  while (!at.operands().empty()) {
    const auto next = std::find_if(at.operands().begin(), at.operands().end(),
                                   [&](Expr operand) { return seen.contains(operand); });
    if (next == at.operands().end()) break;
    at = *next;
  }
  return at;
}

}  // namespace rulegrad::io
