#pragma once

#include "onnx/node_context.hpp"

namespace rulegrad::io {

/// The window of a convolution or pooling, a number for each spatial axis.
struct Window {
  Ints kernel, strides, dilations, begin, end;
  std::string auto_pad;
};

/// Reads kernel_shape (`kernel` if there is none), strides, dilations, pads and auto_pad. `pads` are resolved
/// for an operator that gathers windows of x; a transposed convolution resolves them itself.
[[nodiscard]] Window read_window(NodeContext& c, const Shape& x, const Ints& kernel);
void resolve_auto_pad(NodeContext& c, const Shape& x, Window& window);

/// The spatial extents of [N, C, spatial...], which must be numbers.
[[nodiscard]] Ints spatial_extents(const NodeContext& c, const Shape& x);

}  // namespace rulegrad::io
