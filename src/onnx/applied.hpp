#pragma once

#include <cstddef>
#include <cstdint>

#include "rulegrad/ops/op_attributes.hpp"

#include "onnx/node_context.hpp"

/// What handlers apply over and over.
namespace rulegrad::io {

/// An operator of two operands and no attributes.
[[nodiscard]] inline Expr binary(const NodeContext& c, const char* name, Expr a, Expr b) {
  return c.apply(name, {a, b});
}

/// The second operand of an elementwise operation: opset 6 lets its axes begin at `axis` of the first one's.
[[nodiscard]] Expr aligned(NodeContext& c, Expr a, Expr b);

/// x in the model's floating dtype.
[[nodiscard]] inline Expr as_real(const NodeContext& c, Expr x) {
  return c.apply("cast", {x}, CastAttributes{c.importer().real()});
}

/// scale x / sqrt(mean of x^2 + epsilon) over the axes from `axis` on.
[[nodiscard]] inline Expr rms_norm(const NodeContext& c, Expr x, Expr scale, std::size_t axis,
                                   double epsilon) {
  const LayerNormAttributes attributes{static_cast<std::int64_t>(axis), epsilon};
  if (c.is_static(scale) && scale.shape().rank() + axis <= x.shape().rank())
    return c.apply("rms_norm", {x, scale}, attributes);
  // A scale that is computed, or that other axes have, is a factor behind it.
  return binary(c, "mul", c.apply("rms_norm", {x, c.scalar(1, x)}, attributes), scale);
}

/// x from `from` up to `to` along an axis.
[[nodiscard]] inline Expr part(const NodeContext& c, Expr x, std::size_t axis, std::int64_t from,
                               std::int64_t to) {
  return c.apply("slice", {x}, SliceAttributes{{static_cast<std::int64_t>(axis)}, {from}, {to}, {1}});
}

}  // namespace rulegrad::io
