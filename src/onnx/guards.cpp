#include <limits>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/node_context.hpp"

/// Tests for NaN and infinity, and what models choose by them.
namespace rulegrad::io {
namespace {

double largest(DType dtype) {
  return dtype == DType::float32 ? static_cast<double>(std::numeric_limits<float>::max())
                                 : std::numeric_limits<double>::max();
}

Expr constant_flag(const NodeContext& c, bool value, const Shape& shape) {
  return c.apply("fill", {}, FillAttributes{value ? 1.0 : 0.0, DType::boolean, shape});
}

/// The value whose NaNs the flag tells: x != x, or not (x == x).
std::optional<Expr> tested_for_nan(Expr flag) {
  if (flag.is("not_equal") && flag.operand(0) == flag.operand(1)) return flag.operand(0);
  if (flag.is("logical_not") && flag.operand(0).is("equal") &&
      flag.operand(0).operand(0) == flag.operand(0).operand(1))
    return flag.operand(0).operand(0);
  return std::nullopt;
}

void is_nan(NodeContext& c) {
  const Expr x = c.operand(0);
  if (!is_floating(x.dtype()) || !c.importer().specials().of(x).may_be_nan())
    return c.result(constant_flag(c, false, x.shape()));
  c.result(c.apply("not_equal", {x, x}));
}

void is_inf(NodeContext& c) {
  const Expr x = c.operand(0);
  const bool low = c.integer("detect_negative", 1) != 0, high = c.integer("detect_positive", 1) != 0;
  if (!is_floating(x.dtype()) || (!low && !high)) return c.result(constant_flag(c, false, x.shape()));
  const double most = largest(x.dtype());
  if (low && high) return c.result(c.apply("greater", {c.apply("abs", {x}), c.scalar(most, x)}));
  c.result(high ? c.apply("greater", {x, c.scalar(most, x)}) : c.apply("less", {x, c.scalar(-most, x)}));
}

/// softmax(z), and `otherwise` in lines where z is -inf throughout: what a model means that replaces the NaN
/// of such lines. Written so that neither the values nor the gradients of these lines are NaN.
std::optional<Expr> guarded_softmax(const NodeContext& c, Expr flag, Expr otherwise, Expr y) {
  const auto tested = tested_for_nan(flag);
  if (!tested || *tested != y || !y.is("softmax")) return std::nullopt;
  const Expr z = y.operand(0);
  const auto axis = y.attributes<AxisAttributes>().axis;
  const Expr top = c.apply("amax", {z}, ReduceAttributes{{axis}, true});
  const Expr alive = c.apply("greater_equal", {top, c.scalar(-largest(z.dtype()), z)});
  const Expr safe = c.apply("softmax", {c.apply("where", {alive, z, c.scalar(0, z)})}, y.attributes());
  const std::vector<std::string> names = c.graph().names(y);
  for (const std::string& name : names) c.graph().add_name(safe, name);
  return c.apply("where", {alive, safe, otherwise});
}

}  // namespace

void choose(NodeContext& c) {
  const Expr flag = c.operand(0), a = c.operand(1), b = c.operand(2);
  // What is chosen everywhere needs no choice.
  if (const auto known = uniform_value(flag); known && a.dtype() == b.dtype()) {
    const Expr taken = *known != 0 ? a : b;
    auto wide = broadcast(flag.shape(), a.shape());
    if (wide) wide = broadcast(*wide, b.shape());
    if (wide) return c.result(c.apply("expand", {taken}, ShapeAttributes{*wide}));
  }
  if (const auto guarded = guarded_softmax(c, flag, a, b)) return c.result(*guarded);
  // where(x == x, x, 0) spells the same.
  if (flag.is("equal") && flag.operand(0) == flag.operand(1) && is_floating(flag.operand(0).dtype())) {
    if (!c.importer().specials().of(flag.operand(0)).may_be_nan() && a.shape() == flag.shape())
      return c.result(a);
    if (const auto guarded = guarded_softmax(c, c.apply("not_equal", {a, a}), b, a);
        guarded && a == flag.operand(0))
      return c.result(*guarded);
  }
  if (const auto tested = tested_for_nan(flag); tested && is_floating(tested->dtype()) &&
                                                !c.importer().specials().of(*tested).may_be_nan() &&
                                                b.shape() == flag.shape())
    return c.result(b);
  c.result(c.apply("where", {flag, a, b}));
}

void add_guards(Handlers& h) {
  h["IsNaN"] = is_nan;
  h["IsInf"] = is_inf;
  h["Where"] = choose;
}

}  // namespace rulegrad::io
