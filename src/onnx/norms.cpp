#include <algorithm>
#include <fmt/format.h>
#include <span>

#include "onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

Ints axes_between(std::size_t first, std::size_t last) {
  Ints axes;
  for (std::size_t axis = first; axis < last; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  return axes;
}

/// Numbers that a composed normalisation needs.
struct Moments {
  Expr centred, deviation;  ///< x - mean and sqrt(variance + epsilon) over the axes
  Expr mean;
};

Moments moments(const NodeContext& c, Expr x, const Ints& axes, double epsilon) {
  const Expr mean = c.apply("mean", {x}, ReduceAttributes{axes, true});
  const Expr centred = c.apply("sub", {x, mean});
  const Expr variance = c.apply("mean", {c.apply("mul", {centred, centred})}, ReduceAttributes{axes, true});
  return {centred, c.apply("sqrt", {c.apply("add", {variance, c.scalar(epsilon, x)})}), mean};
}

void layer_norm(NodeContext& c) {
  const Expr x = c.operand(0), scale = c.operand(1);
  const std::size_t rank = x.shape().rank(), axis = checked_axis(c, c.integer("axis", -1), rank);
  const double epsilon = c.real("epsilon", 1e-5);
  c.ignore({"stash_type"});
  const Expr bias = c.has(2) ? c.operand(2) : c.scalar(0, x);
  c.keep_apart(axis == 0 && x.shape().has_batch(), "it normalises over the batch");
  c.result(
      c.apply("layer_norm", {x, scale, bias}, LayerNormAttributes{static_cast<std::int64_t>(axis), epsilon}));
  if (!c.wanted(1) && !c.wanted(2)) return;
  const Moments m = moments(c, x, axes_between(axis, rank), epsilon);
  c.result(m.mean, 1);
  c.result(c.apply("reciprocal", {m.deviation}), 2);
}

/// One number a channel, shaped to stand beside [N, C, spatial...].
Expr per_channel(const NodeContext& c, Expr vector, std::size_t rank) {
  if (vector.shape().rank() != 1)
    c.fail(
        fmt::format("scale and bias must be one number a channel but one is {}", to_string(vector.type())));
  std::vector<Dim> dims(rank - 1, Dim{1});
  dims[0] = vector.shape()[0];
  return reshaped(c, vector, std::move(dims));
}

/// By its own statistics over all axes but the channels': weights that are standardised are written so.
void own_batch_norm(NodeContext& c, Expr x) {
  for (const Expr below : topological_order(std::span(&x, 1)))
    if (is_input(below)) c.fail("training mode is not supported; export the model for inference");
  const std::size_t rank = x.shape().rank();
  Ints axes = axes_between(2, rank);
  axes.insert(axes.begin(), 0);
  const double momentum = c.real("momentum", 0.9);
  const Moments m = moments(c, x, axes, c.real("epsilon", 1e-5));
  const Expr scaled =
      c.apply("mul", {c.apply("div", {m.centred, m.deviation}), per_channel(c, c.operand(1), rank)});
  c.result(c.apply("add", {scaled, per_channel(c, c.operand(2), rank)}));
  const Expr variance =
      c.apply("mean", {c.apply("mul", {m.centred, m.centred})}, ReduceAttributes{axes, true});
  const Expr found[] = {m.mean, variance};
  for (const std::size_t i : {0, 1})
    if (c.wanted(i + 1)) {
      const Expr kept = c.apply("mul", {c.operand(3 + i), c.scalar(momentum, x)});
      const Expr fresh = c.apply("mul", {reshaped(c, found[i], {x.shape()[1]}), c.scalar(1 - momentum, x)});
      c.result(c.apply("add", {kept, fresh}), i + 1);
    }
}

void batch_norm(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"momentum", "consumed_inputs"});
  if (c.integer("spatial", 1) != 1)
    c.fail("attribute 'spatial' is 0, which is not supported: statistics must be one number a channel");
  if (x.shape().rank() < 2) c.fail(fmt::format("x must be [N, C, ...] but is {}", to_string(x.type())));
  if (c.integer("is_test", 1) != 1) c.fail("training mode is not supported; export the model for inference");
  if (c.integer("training_mode", 0) != 0) return own_batch_norm(c, x);
  c.result(c.apply("batch_norm", {x, c.operand(1), c.operand(2), c.operand(3), c.operand(4)},
                   BatchNormAttributes{c.real("epsilon", 1e-5), 1}));
}

/// Over all axes behind the first two.
Expr normal(const NodeContext& c, Expr x, double epsilon) {
  return c.apply("layer_norm", {x, c.scalar(1, x), c.scalar(0, x)}, LayerNormAttributes{2, epsilon});
}

void instance_norm(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t rank = x.shape().rank();
  c.ignore({"consumed_inputs"});
  if (rank < 3) c.fail(fmt::format("x must be [N, C, spatial...] but is {}", to_string(x.type())));
  const Expr scaled =
      c.apply("mul", {normal(c, x, c.real("epsilon", 1e-5)), per_channel(c, c.operand(1), rank)});
  c.result(c.apply("add", {scaled, per_channel(c, c.operand(2), rank)}));
}

/// Scale and bias are one number a group up to opset 20, one a channel from 21 on.
void group_norm(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const std::int64_t groups = c.integer("num_groups", 0);
  c.ignore({"stash_type"});
  if (shape.rank() < 3 || shape[1].batch)
    c.fail(fmt::format("x must be [N, C, spatial...] but is {}", to_string(x.type())));
  if (groups < 1 || shape[1].factor % groups != 0)
    c.fail(fmt::format("{} groups do not divide the {} channels of {}", groups, to_string(shape[1]),
                       to_string(x.type())));
  std::vector<Dim> grouped{shape[0], groups, shape[1].factor / groups};
  grouped.insert(grouped.end(), shape.dims().begin() + 2, shape.dims().end());
  const std::size_t rank = grouped.size();
  const Expr whole = normal(c, reshaped(c, x, grouped), c.real("epsilon", 1e-5));
  const Expr scale = c.operand(1), bias = c.operand(2);
  const bool by_group = c.opset() < 21;
  const Expr unit = by_group ? whole : reshaped(c, whole, shape.dims());
  const std::size_t axes = by_group ? rank : shape.rank();
  const Expr y =
      c.apply("add", {c.apply("mul", {unit, per_channel(c, scale, axes)}), per_channel(c, bias, axes)});
  c.result(reshaped(c, y, shape.dims()));
}

/// (x - mean) / sqrt(variance) over the axes; ONNX adds 1e-9 to the root.
void mean_variance_norm(NodeContext& c) {
  const Expr x = c.operand(0);
  const Ints axes = axes_from_front(c, c.integers("axes", {0, 2, 3}), x.shape().rank());
  for (const std::int64_t axis : axes)
    c.keep_apart(x.shape()[static_cast<std::size_t>(axis)].batch, "it normalises over the batch");
  const Moments m = moments(c, x, axes, 0);
  c.result(c.apply("div", {m.centred, c.apply("add", {m.deviation, c.scalar(1e-9, x)})}));
}

/// Up to opset 12 all axes from `axis` on are one; since then it is along one axis.
Handler softmax(const char* op_name) {
  return [op_name](NodeContext& c) {
    const Expr x = c.operand(0);
    const Shape& shape = x.shape();
    const bool joint = c.opset() < 13;
    if (shape.rank() == 0) c.fail("x has no axes");
    const std::size_t axis = checked_axis(c, c.integer("axis", joint ? 1 : -1), shape.rank());
    c.keep_apart(axis == 0 && shape.has_batch(), "it runs over the batch");
    const auto along = [&](Expr y, std::size_t a) {
      return c.apply(op_name, {y}, AxisAttributes{static_cast<std::int64_t>(a)});
    };
    if (!joint) return c.result(along(x, axis));
    std::vector<std::size_t> wide;
    for (std::size_t a = axis; a < shape.rank(); ++a)
      if (!shape[a].is(1)) wide.push_back(a);
    if (wide.size() < 2) return c.result(along(x, wide.empty() ? axis : wide[0]));
    Dim outer{1}, inner{1};
    for (std::size_t a = 0; a < shape.rank(); ++a) {
      Dim& side = a < axis ? outer : inner;
      const auto next = multiplied(side, shape[a]);
      if (!next) c.fail(fmt::format("the axes of {} from {} on cannot be joined", to_string(shape), axis));
      side = *next;
    }
    c.result(reshaped(c, along(reshaped(c, x, {outer, inner}), 1), shape.dims()));
  };
}

}  // namespace

void add_norms(Handlers& h) {
  h["BatchNormalization"] = batch_norm;
  h["LayerNormalization"] = layer_norm;
  h["InstanceNormalization"] = instance_norm;
  h["GroupNormalization"] = group_norm;
  h["MeanVarianceNormalization"] = mean_variance_norm;
  h["Softmax"] = softmax("softmax");
  h["LogSoftmax"] = softmax("log_softmax");
}

}  // namespace rulegrad::io
