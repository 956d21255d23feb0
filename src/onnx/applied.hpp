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

/// x in the model's floating dtype.
[[nodiscard]] inline Expr as_real(const NodeContext& c, Expr x) {
  return c.apply("cast", {x}, CastAttributes{c.importer().real()});
}

/// x from `from` up to `to` along an axis.
[[nodiscard]] inline Expr part(const NodeContext& c, Expr x, std::size_t axis, std::int64_t from,
                               std::int64_t to) {
  return c.apply("slice", {x}, SliceAttributes{{static_cast<std::int64_t>(axis)}, {from}, {to}, {1}});
}

}  // namespace rulegrad::io
