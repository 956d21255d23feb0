#include "passes/intervals.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "rulegrad/leaves.hpp"
#include "rulegrad/op_attributes.hpp"

namespace rulegrad {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr Interval anything{}, not_negative{0, infinite}, not_positive{-infinite, 0}, zero{0, 0}, unit{0, 1};
/// Larger constants are weights, whose values no rule asks for: looking would cost a pass over the whole model.
constexpr std::int64_t most_looked_through = 4096;

using Given = std::span<const Interval>;
using Infer = std::function<Interval(Expr, Given)>;

Interval either(Interval a, Interval b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

Interval either(Given all) {
  Interval result = all[0];
  for (const Interval& one : all.subspan(1)) result = either(result, one);
  return result;
}

/// Bounds worked out in float64 hold in float32 only where no rounding is involved: others give a little way. Signs are exact.
Interval rounded(Interval x) {
  const auto wider = [](double bound, double factor) { return bound == 0 || std::isinf(bound) ? bound : bound * factor; };
  constexpr double little = 1e-6;
  return {wider(x.low, x.low > 0 ? 1 - little : 1 + little), wider(x.high, x.high > 0 ? 1 + little : 1 - little)};
}

/// What is known of sums of any number of such terms: their sign.
Interval sums(Interval term) {
  if (term.is_zero()) return zero;
  return {term.low >= 0 ? 0 : -infinite, term.high <= 0 ? 0 : infinite};
}

Interval negated(Interval x) { return {-x.high, -x.low}; }

Interval product(Interval a, Interval b) {
  // 0 times what is not bounded is 0: values are finite.
  const auto times = [](double x, double y) { return x == 0 || y == 0 ? 0 : x * y; };
  const auto [low, high] = std::minmax({times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)});
  return rounded({low, high});
}

Interval added(Interval a, Interval b) { return rounded({a.low + b.low, a.high + b.high}); }

/// The sign of a quotient; what is divided by 0 is not finite, and so has none.
Interval quotient(Interval a, Interval b) {
  if (a.is_zero()) return zero;
  if (b.low >= 0) return sums(a);
  if (b.high <= 0) return sums(negated(a));
  return anything;
}

Interval holds(bool always, bool never) { return {always ? 1.0 : 0.0, never ? 0.0 : 1.0}; }

/// Of functions that never fall.
Infer rising(double (*f)(double)) {
  return [f](Expr, Given x) { return rounded({f(x[0].low), f(x[0].high)}); };
}
Infer always(Interval bounds) {
  return [bounds](Expr, Given) { return bounds; };
}

Interval contraction(Given x) {
  Interval result = sums(product(x[0], x[1]));
  return x.size() > 2 ? sums(either(result, x[2])) : result;
}

Interval of_constant(Expr expr) {
  const Tensor& value = expr.attributes<ConstantAttributes>().value;
  if (value.size() == 0 || value.size() > most_looked_through) return anything;
  Interval result{infinite, -infinite};
  for (std::int64_t i = 0; i < value.size(); ++i) result = either(result, {value.at(i), value.at(i)});
  return std::isfinite(result.low) && std::isfinite(result.high) ? result : anything;
}

const std::unordered_map<std::string_view, Infer>& inferences() {
  static const std::unordered_map<std::string_view, Infer> table = [] {
    std::unordered_map<std::string_view, Infer> all;
    const Infer same = [](Expr, Given x) { return x[0]; };
    const Infer sum = [](Expr, Given x) { return sums(x[0]); };
    const Infer all_of = [](Expr, Given x) { return either(x); };
    for (const char* name : {"reshape", "transpose", "expand", "slice", "identity", "const", "gather", "gather_rows", "amax", "amin"}) all.emplace(name, same);
    for (const char* name : {"sum", "sum_to", "pad_vjp", "resize_vjp", "avg_pool_vjp", "scatter_add", "scatter_rows", "slice_vjp", "channel_window_sum"}) all.emplace(name, sum);
    for (const char* name : {"dense", "conv", "conv_transpose", "matmul", "conv_weight_grad", "dense_weight_grad"})
      all.emplace(name, [](Expr, Given x) { return contraction(x); });
    for (const char* name : {"sigmoid", "softmax", "one_hot", "random_uniform", "hardsigmoid"}) all.emplace(name, always(unit));
    for (const char* name : {"exp", "softplus", "sqrt"}) all.emplace(name, always(not_negative));
    for (const char* name : {"tanh", "erf", "sin", "cos", "sign"}) all.emplace(name, always({-1, 1}));
    all.emplace("log_softmax", always(not_positive));
    all.emplace("constant", [](Expr e, Given) { return of_constant(e); });
    all.emplace("fill", [](Expr e, Given) {
      // As the dtype holds it.
      const double value = dispatch(e.dtype(), [&]<class T>(T) { return static_cast<double>(static_cast<T>(e.attributes<FillAttributes>().value)); });
      return Interval{value, value};
    });
    all.emplace("concat", all_of);
    all.emplace("accum", [](Expr, Given x) { return sums(either(x)); });
    // Means may round beyond the largest element, never beyond 0.
    all.emplace("mean", sum);
    all.emplace("avg_pool", sum);
    all.emplace("resize", sum);
    all.emplace("max_pool", same);  // its padding never wins
    all.emplace("max_pool_vjp", [](Expr, Given x) { return sums(x[1]); });
    all.emplace("max_pool_jvp", [](Expr, Given x) { return either(x[1], zero); });
    all.emplace("pad", [](Expr e, Given x) {
      const auto& pad = e.attributes<PadAttributes>();
      return pad.mode == PadMode::constant ? either(x[0], {pad.value, pad.value}) : x[0];
    });
    all.emplace("cast", [](Expr e, Given x) {
      if (e.operand(0).dtype() == DType::boolean) return unit;
      return is_floating(e.dtype()) ? rounded(x[0]) : anything;
    });
    all.emplace("relu", rising([](double x) { return std::max(x, 0.0); }));
    all.emplace("leaky_relu", [](Expr e, Given x) { return e.attributes<LeakyReluAttributes>().alpha >= 0 ? sums(x[0]) : anything; });
    all.emplace("abs", [](Expr, Given x) {
      const double low = x[0].contains(0) ? 0 : std::min(std::abs(x[0].low), std::abs(x[0].high));
      return Interval{low, std::max(std::abs(x[0].low), std::abs(x[0].high))};
    });
    all.emplace("neg", [](Expr, Given x) { return negated(x[0]); });
    all.emplace("add", [](Expr, Given x) { return added(x[0], x[1]); });
    all.emplace("sub", [](Expr, Given x) { return added(x[0], negated(x[1])); });
    all.emplace("mul", [](Expr e, Given x) {
      const Interval result = product(x[0], x[1]);
      return e.operand(0) == e.operand(1) ? Interval{std::max(result.low, 0.0), result.high} : result;
    });
    all.emplace("div", [](Expr, Given x) { return quotient(x[0], x[1]); });
    all.emplace("over", [](Expr, Given x) { return quotient(x[0], x[1]); });
    all.emplace("stabilize", [](Expr, Given x) {
      if (x[1].low < 0) return anything;
      return rounded({x[0].low >= 0 ? x[0].low + x[1].low : x[0].low - x[1].high, x[0].high < 0 ? x[0].high - x[1].low : x[0].high + x[1].high});
    });
    all.emplace("max", [](Expr, Given x) { return Interval{std::max(x[0].low, x[1].low), std::max(x[0].high, x[1].high)}; });
    all.emplace("min", [](Expr, Given x) { return Interval{std::min(x[0].low, x[1].low), std::min(x[0].high, x[1].high)}; });
    all.emplace("clip", [](Expr e, Given x) {
      const auto& clip = e.attributes<ClipAttributes>();
      return rounded({std::clamp(x[0].low, clip.low, clip.high), std::clamp(x[0].high, clip.low, clip.high)});
    });
    all.emplace("where", [](Expr, Given x) { return x[0].low >= 1 ? x[1] : x[0].high <= 0 ? x[2] : either(x[1], x[2]); });
    all.emplace("less", [](Expr, Given x) { return holds(false, x[0].low >= x[1].high); });
    all.emplace("greater", [](Expr, Given x) { return holds(false, x[1].low >= x[0].high); });
    all.emplace("less_equal", [](Expr, Given x) { return holds(x[1].low >= x[0].high, false); });
    all.emplace("greater_equal", [](Expr, Given x) { return holds(x[0].low >= x[1].high, false); });
    all.emplace("logical_not", [](Expr, Given x) { return Interval{1 - x[0].high, 1 - x[0].low}; });
    all.emplace("logical_and", [](Expr, Given x) { return Interval{std::min(x[0].low, x[1].low), std::min(x[0].high, x[1].high)}; });
    all.emplace("logical_or", [](Expr, Given x) { return Interval{std::max(x[0].low, x[1].low), std::max(x[0].high, x[1].high)}; });
    return all;
  }();
  return table;
}

Interval infer(Expr expr, Given operands) {
  if (expr.dtype() == DType::boolean) {
    const auto found = inferences().find(expr.op().name);
    const Interval result = found == inferences().end() ? unit : found->second(expr, operands);
    return {std::max(result.low, 0.0), std::min(result.high, 1.0)};
  }
  const auto found = inferences().find(expr.op().name);
  return found == inferences().end() ? anything : found->second(expr, operands);
}

}  // namespace

Interval Intervals::of(Expr root) {
  std::vector<Expr> stack{root};
  std::vector<Interval> operands;
  while (!stack.empty()) {
    const Expr expr = stack.back();
    if (known_.contains(expr)) {
      stack.pop_back();
      continue;
    }
    const std::size_t before = stack.size();
    for (const Expr operand : expr.operands())
      if (!known_.contains(operand)) stack.push_back(operand);
    if (stack.size() != before) continue;
    stack.pop_back();
    operands.clear();
    for (const Expr operand : expr.operands()) operands.push_back(known_.at(operand));
    known_.emplace(expr, infer(expr, operands));
  }
  return known_.at(root);
}

}  // namespace rulegrad
