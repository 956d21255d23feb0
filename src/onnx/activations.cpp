#include "onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

/// Opset 6 gives one slope a channel as a vector; later slopes broadcast from the last axis.
void prelu(NodeContext& c) {
  const Expr x = c.operand(0);
  Expr slope = c.operand(1);
  const Shape& shape = x.shape();
  const bool by_channel =
      c.opset() < 7 && slope.shape().rank() == 1 && shape.rank() > 2 && !slope.shape()[0].is(1);
  if (by_channel) {
    std::vector<Dim> dims(shape.rank() - 1, Dim{1});
    dims[0] = slope.shape()[0];
    slope = reshaped(c, slope, std::move(dims));
  } else if (slope.shape().rank() > 0 && slope.shape().count().is(1)) {
    slope = reshaped(c, slope, {});
  }
  c.result(c.apply("prelu", {x, slope}));
}

/// alpha elu(x / alpha) with elu of slope 1.
void celu(NodeContext& c) {
  const Expr x = c.operand(0);
  const double alpha = c.real("alpha", 1);
  if (alpha == 1) return c.result(c.apply("elu", {x}, EluAttributes{1}));
  const Expr number = c.scalar(alpha, x);
  c.result(c.apply("mul", {c.apply("elu", {c.apply("div", {x, number})}, EluAttributes{1}), number}));
}

void thresholded_relu(NodeContext& c) {
  const Expr x = c.operand(0);
  const Expr alpha = c.scalar(c.real("alpha", 1), x);
  c.result(c.apply("where", {c.apply("greater", {x, alpha}), x, c.scalar(0, x)}));
}

/// x - bias above lambd, x + bias below -lambd, 0 between.
void shrink(NodeContext& c) {
  const Expr x = c.operand(0);
  const double lambd = c.real("lambd", 0.5);
  const Expr bias = c.scalar(c.real("bias", 0), x), zero = c.scalar(0, x);
  const Expr below =
      c.apply("where", {c.apply("less", {x, c.scalar(-lambd, x)}), c.apply("add", {x, bias}), zero});
  c.result(c.apply("where", {c.apply("greater", {x, c.scalar(lambd, x)}), c.apply("sub", {x, bias}), below}));
}

}  // namespace

void add_activations(Handlers& h) {
  h["PRelu"] = prelu;
  h["Celu"] = celu;
  h["ThresholdedRelu"] = thresholded_relu;
  h["Shrink"] = shrink;
}

}  // namespace rulegrad::io
