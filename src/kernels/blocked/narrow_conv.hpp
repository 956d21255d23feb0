#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv/conv.hpp"

namespace rulegrad::kernels::blocked {

/// True if narrow_input_grad serves this convolution with g in blocks of so many channels: few input
/// channels, as an image has, where matrix products have next to nothing to multiply what they pack with.
[[nodiscard]] bool is_narrow(const ConvGeometry& geometry, std::int64_t block);

/// conv_input_grad (portable/conv.hpp) of g [batch, out_channels / block, window.out..., block] to gx,
/// row-major: each input position is a sum over vectors of channels. It is summed in one order, whatever the
/// threads.
void narrow_input_grad(const ConvGeometry& geometry, std::int64_t block, const float* g, const float* w,
                       float* gx, float* packed);
/// Floats that `packed` must have room for.
[[nodiscard]] std::size_t narrow_input_grad_scratch(const ConvGeometry& geometry);

}  // namespace rulegrad::kernels::blocked
