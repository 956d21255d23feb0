#include <fmt/format.h>

#include "onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

/// Axes as attribute or input; no axes are all of them, or none with noop_with_empty_axes. Nothing: x as it
/// is.
std::optional<ReduceAttributes> reduce_attributes(NodeContext& c, Expr x) {
  const bool keep = c.integer("keepdims", 1) != 0;
  const bool noop = c.integer("noop_with_empty_axes", 0) != 0;
  Ints axes = axes_from_front(c, c.attribute_or_input("axes", 1).value_or(Ints{}), x.shape().rank());
  if (axes.empty() && (noop || x.shape().rank() == 0)) return std::nullopt;
  if (axes.empty())
    for (std::size_t axis = 0; axis < x.shape().rank(); ++axis)
      axes.push_back(static_cast<std::int64_t>(axis));
  for (const std::int64_t axis : axes)
    c.keep_apart(x.shape()[static_cast<std::size_t>(axis)].batch, "it runs over the batch");
  return ReduceAttributes{axes, keep};
}

using Step = std::function<Expr(const NodeContext&, Expr)>;

/// after(reduce(before(x))); without axes the outer steps remain.
Handler reduction(const char* op_name, Step before = {}, Step after = {}) {
  return [op_name, before, after](NodeContext& c) {
    const Expr x = c.operand(0);
    const auto attributes = reduce_attributes(c, x);
    Expr y = before ? before(c, x) : x;
    if (attributes) y = c.apply(op_name, {y}, *attributes);
    c.result(after ? after(c, y) : y);
  };
}

Expr square(const NodeContext& c, Expr x) {
  return c.apply("mul", {x, x});
}
Expr absolute(const NodeContext& c, Expr x) {
  return c.apply("abs", {x});
}
Expr root(const NodeContext& c, Expr x) {
  return c.apply("sqrt", {x});
}
Expr logarithm(const NodeContext& c, Expr x) {
  return c.apply("log", {x});
}

/// Booleans, for which the largest is "any" and the smallest "all", are reduced as numbers.
Handler extreme(const char* op_name) {
  return [op_name](NodeContext& c) {
    Expr x = c.operand(0);
    const DType dtype = x.dtype();
    const auto attributes = reduce_attributes(c, x);
    if (!attributes) return c.result(x);
    const bool small = dtype == DType::boolean || dtype == DType::uint8 || dtype == DType::int8;
    if (small) x = c.apply("cast", {x}, CastAttributes{DType::int32});
    c.result(c.apply("cast", {c.apply(op_name, {x}, *attributes)}, CastAttributes{dtype}));
  };
}

/// m + log(sum(exp(x - m))) with the maximum m, which keeps exp from overflowing.
void log_sum_exp(NodeContext& c) {
  const Expr x = c.operand(0);
  const auto attributes = reduce_attributes(c, x);
  if (!attributes) return c.result(x);
  const Expr top = c.apply("amax", {x}, ReduceAttributes{attributes->axes, true});
  const Expr sum = c.apply("sum", {c.apply("exp", {c.apply("sub", {x, top})})}, *attributes);
  const Expr shift = attributes->keep ? top : reshaped(c, top, sum.shape().dims());
  c.result(c.apply("add", {c.apply("log", {sum}), shift}));
}

Handler arg(const char* op_name) {
  return [op_name](NodeContext& c) {
    const Expr x = c.operand(0);
    const std::size_t axis = checked_axis(c, c.integer("axis", 0), x.shape().rank());
    const ArgAttributes attributes{static_cast<std::int64_t>(axis), c.integer("keepdims", 1) != 0};
    if (c.integer("select_last_index", 0) == 0) return c.result(c.apply(op_name, {x}, attributes));
    // The last among equals is the first from behind.
    const Dim extent = x.shape()[axis];
    if (extent.batch) c.fail("it runs over the batch");
    const Expr behind =
        c.apply("slice", {x}, SliceAttributes{{attributes.axis}, {extent.factor - 1}, {-1}, {-1}});
    const Expr index = c.apply(op_name, {behind}, attributes);
    c.result(c.apply("sub", {c.scalar(static_cast<double>(extent.factor - 1), index), index}));
  };
}

}  // namespace

void add_reductions(Handlers& h) {
  h["ReduceSum"] = reduction("sum");
  h["ReduceMean"] = reduction("mean");
  h["ReduceProd"] = reduction("prod");
  h["ReduceSumSquare"] = reduction("sum", square);
  h["ReduceL1"] = reduction("sum", absolute);
  h["ReduceL2"] = reduction("sum", square, root);
  h["ReduceLogSum"] = reduction("sum", {}, logarithm);
  h["ReduceLogSumExp"] = log_sum_exp;
  h["ReduceMax"] = extreme("amax");
  h["ReduceMin"] = extreme("amin");
  h["ArgMax"] = arg("argmax");
  h["ArgMin"] = arg("argmin");
}

}  // namespace rulegrad::io
