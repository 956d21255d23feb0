#pragma once

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/tensor/shape.hpp"

/// Arrays whose channels (axis 1) lie in memory in blocks, [N, C / block, spatial..., block]: vectors of
/// channels for each position, which convolutions and pooling work on.
namespace rulegrad::kernels::blocked {

/// The extents that a row-major kernel may be shown instead of `dims`, whose axis `channel` is cut. An axis
/// of extent 1 stays, with a 1 innermost: what is broadcast along the channels.
[[nodiscard]] Dims shown_dims(std::span<const std::int64_t> dims, std::size_t channel, std::int64_t block);

/// Where the element at `position` of the array in memory stands in row-major order.
[[nodiscard]] std::int64_t row_major_position(std::span<const std::int64_t> dims, std::int64_t block,
                                              std::int64_t position);

/// Copies between layouts; from.dims = to.dims, one of the two has no block.
void reorder(const ConstView& from, const MutableView& to);

/// The kernel that does so: its operand and its result say what they are.
[[nodiscard]] Kernel reorder_kernel();

}  // namespace rulegrad::kernels::blocked
