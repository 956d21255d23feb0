#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "rulegrad/expr/schema.hpp"
#include "rulegrad/ops/op_attributes.hpp"

/// The arithmetic of sliding windows, shared by convolution and pooling.
namespace rulegrad::windows {

struct Axis {
  std::int64_t kernel, stride, dilation, pad_begin, pad_end;
};

/// Extents that a window covers along an axis.
[[nodiscard]] constexpr std::int64_t span_of(const Axis& axis) {
  return axis.dilation * (axis.kernel - 1) + 1;
}

/// How many windows fit along an axis of `extent` values. With `ceil` the last may reach beyond the padding,
/// as long as it starts inside the input or the padding before it (ONNX MaxPool, attribute ceil_mode).
[[nodiscard]] std::int64_t count(std::int64_t extent, const Axis& axis, bool ceil = false);

/// Empty lists become the neutral value for `axes` spatial axes; other lengths throw with the attribute's
/// name.
void fill_lists(const std::string& op, std::size_t axes, Ints& strides, Ints& pads_begin, Ints& pads_end,
                Ints& dilations);

/// The spatial extents behind windows over the axes from 2 on. Throws when a window does not fit or an extent
/// is not static.
[[nodiscard]] Ints extents(const std::string& op, const Shape& x, const Ints& kernel, const Ints& strides,
                           const Ints& pads_begin, const Ints& pads_end, const Ints& dilations,
                           bool ceil = false);

/// The axes of x from 2 on as numbers; throws when one holds the batch.
[[nodiscard]] Ints spatial_of(const std::string& op, const Shape& x);

}  // namespace rulegrad::windows
