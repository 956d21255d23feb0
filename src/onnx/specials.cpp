#include "onnx/specials.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/walk.hpp"
#include "onnx/value.hpp"

namespace rulegrad::io {
namespace {

using Bits = std::uint8_t;

Bits bits_of(double value) {
  if (std::isnan(value)) return Specials::nan;
  if (std::isinf(value)) return value < 0 ? Specials::low : Specials::high;
  return 0;
}

Bits bits_of(const Tensor& value) {
  Bits bits = 0;
  dispatch(value.dtype(), [&]<class T>(T) {
    if constexpr (std::is_floating_point_v<T>)
      for (const T v : value.values<T>())
        if (!std::isfinite(v)) bits = static_cast<Bits>(bits | bits_of(static_cast<double>(v)));
  });
  return bits;
}

Bits swapped(Bits bits) {
  return static_cast<Bits>((bits & Specials::nan) | (bits & Specials::low ? Specials::high : 0) |
                           (bits & Specials::high ? Specials::low : 0));
}

/// inf - inf.
Bits sum_of_bits(Bits a, Bits b) {
  const auto sum = static_cast<Bits>(a | b);
  const bool opposed =
      ((a & Specials::low) && (b & Specials::high)) || ((a & Specials::high) && (b & Specials::low));
  return opposed ? static_cast<Bits>(sum | Specials::nan) : sum;
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
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
  if (expr.is("constant")) return {bits_of(expr.attributes<ConstantAttributes>().value), 0};
  if (expr.is("fill")) return {bits_of(expr.attributes<FillAttributes>().value), 0};
  if (expr.operands().empty()) return {0, finite_inputs_ ? Bits{0} : Bits{Specials::any}};
  const std::string_view name = expr.op().name;
  const auto operand = [&](std::size_t i) { return known_.at(expr.operand(i)); };
  const auto each = [&](const std::function<Bits(Bits)>& f, std::size_t i = 0) {
    return Specials{f(operand(i).stored), f(operand(i).made)};
  };
  const auto pair = [&](const std::function<Bits(Bits, Bits)>& f, std::size_t i = 0, std::size_t j = 1) {
    const Specials a = operand(i), b = operand(j);
    const auto all = f(static_cast<Bits>(a.stored | a.made), static_cast<Bits>(b.stored | b.made));
    return Specials{f(a.stored, b.stored), all};
  };
  Specials all;
  for (std::size_t i = 0; i < expr.operands().size(); ++i) {
    all.stored = static_cast<Bits>(all.stored | operand(i).stored);
    all.made = static_cast<Bits>(all.made | operand(i).made);
  }
  const auto spoilt = [](Bits bits) { return bits == 0 ? Bits{0} : Bits{Specials::any}; };
  if (one_of(name, {"dense", "conv", "conv_transpose", "matmul", "batch_norm", "layer_norm", "lrn"}))
    return {spoilt(all.stored), finite_inputs_ ? Bits{0} : Bits{Specials::any}};
  if (name == "softmax" || name == "log_softmax") {
    const Specials x = operand(0);
    const auto axis = static_cast<std::size_t>(expr.attributes<AxisAttributes>().axis);
    const bool log = name == "log_softmax";
    const auto kept = [&](Bits bits) {
      const auto bad = static_cast<Bits>(bits & (Specials::high | Specials::nan));
      return static_cast<Bits>((bad != 0 ? Specials::nan : 0) | (log ? bits & Specials::low : 0));
    };
    Specials y{kept(x.stored), kept(x.made)};
    if (((x.stored | x.made) & Specials::low) != 0 && may_be_all_low(expr.operand(0), axis))
      y.made |= Specials::nan;
    return y;
  }
  if (name == "add") return pair(sum_of_bits);
  if (name == "sub") return pair([](Bits a, Bits b) { return sum_of_bits(a, swapped(b)); });
  if (name == "neg") return each(swapped);
  if (name == "mul" || name == "div") {
    // A finite number other than 0 keeps infinities what they are; anything else may be 0.
    const auto number = uniform_value(expr.operand(1));
    const auto first = uniform_value(expr.operand(0));
    const auto scaled = [&](double by, std::size_t i) {
      if (by == 0 || !std::isfinite(by)) return Specials{spoilt(all.stored), Specials::any};
      return by > 0 ? operand(i) : each(swapped, i);
    };
    if (number) return scaled(*number, 0);
    if (name == "mul" && first) return scaled(*first, 1);
    if (name == "mul") return {spoilt(all.stored), spoilt(all.made)};
    return {spoilt(all.stored), Specials::any};
  }
  if (name == "where") {
    const Expr condition = expr.operand(0);
    if (const auto flag = uniform_value(condition)) return operand(*flag != 0 ? 1 : 2);
    return pair([](Bits a, Bits b) { return static_cast<Bits>(a | b); }, 1, 2);
  }
  if (name == "max")
    return pair([](Bits a, Bits b) {
      return static_cast<Bits>(((a | b) & (Specials::high | Specials::nan)) | (a & b & Specials::low));
    });
  if (name == "min")
    return pair([](Bits a, Bits b) {
      return static_cast<Bits>(((a | b) & (Specials::low | Specials::nan)) | (a & b & Specials::high));
    });
  if (one_of(name, {"relu", "exp", "softplus"}))
    return each([](Bits b) { return static_cast<Bits>(b & (Specials::high | Specials::nan)); });
  if (one_of(name, {"sigmoid", "tanh", "erf", "clip", "hardsigmoid", "atan"}))
    return each([](Bits b) { return static_cast<Bits>(b & Specials::nan); });
  if (name == "abs")
    return each([](Bits b) {
      return static_cast<Bits>((b & Specials::nan) |
                               (b & (Specials::low | Specials::high) ? Specials::high : 0));
    });
  if (one_of(name, {"reshape", "transpose", "expand", "slice", "identity", "const", "cast", "concat",
                    "gather", "gather_rows", "pad", "amax", "amin", "max_pool"}))
    return all;
  if (one_of(name, {"sum", "mean", "cumsum", "avg_pool", "resize"}))
    return {static_cast<Bits>(all.stored | ((all.stored & 3) == 3 ? Specials::nan : 0)),
            static_cast<Bits>(all.made | ((all.made & 3) == 3 ? Specials::nan : 0))};
  if (one_of(name, {"leaky_relu", "elu", "selu", "gelu", "silu", "hardswish", "prelu", "sign", "floor",
                    "ceil", "round", "sin", "cos"}))
    return {spoilt(all.stored), spoilt(all.made)};
  return {spoilt(all.stored), Specials::any};
}

bool SpecialValues::may_be_all_low(Expr expr, std::size_t axis, int depth) {
  // Masks are added once or twice; what is deeper may be anything.
  if (depth > 100) return true;
  const Specials here = of(expr);
  if (((here.stored | here.made) & Specials::low) == 0) return false;
  if (expr.is("constant"))
    return some_line_is(expr.attributes<ConstantAttributes>().value, axis,
                        [](double v) { return std::isinf(v) && v < 0; });
  const auto of_operand = [&](Expr operand) {
    const auto own = axis_in(operand, expr, axis);
    // What is stretched along the axis is -inf everywhere or nowhere.
    return own ? may_be_all_low(operand, *own, depth + 1)
               : ((of(operand).stored | of(operand).made) & Specials::low) != 0;
  };
  if (expr.is("add") || expr.is("sub")) {
    const bool a = ((of(expr.operand(0)).stored | of(expr.operand(0)).made) & Specials::any) != 0;
    const bool b = ((of(expr.operand(1)).stored | of(expr.operand(1)).made) & Specials::any) != 0;
    if (a && b) return true;
    return of_operand(expr.operand(a ? 0 : 1));
  }
  if (expr.is("expand")) return of_operand(expr.operand(0));
  if ((expr.is("mul") || expr.is("div")) && uniform_value(expr.operand(1)).value_or(0) > 0)
    return of_operand(expr.operand(0));
  if (expr.is("where") && expr.operand(0).is("constant")) {
    // -inf where a known condition says so: some line says so everywhere?
    const Expr condition = expr.operand(0);
    const auto own = axis_in(condition, expr, axis);
    const bool first = ((of(expr.operand(1)).stored | of(expr.operand(1)).made) & Specials::low) != 0;
    const bool second = ((of(expr.operand(2)).stored | of(expr.operand(2)).made) & Specials::low) != 0;
    if (!own || (first && second)) return true;
    return some_line_is(condition.attributes<ConstantAttributes>().value, *own,
                        [&](double v) { return (v != 0) == first; });
  }
  return true;
}

std::optional<Expr> SpecialValues::source(Expr root) {
  std::unordered_set<Expr> seen;
  for (const Expr expr : topological_order(std::span(&root, 1))) {
    (void)of(expr);
    if ((expr.is("constant") || expr.is("fill")) && known_.at(expr).stored != 0)
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
