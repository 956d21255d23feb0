#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/move/window.hpp"

namespace rulegrad::kernels {

/// A convolution (cross-correlation, as in ONNX) of x [batch, in_channels, window.in...] with
/// w [out_channels, in_channels / groups, window.kernel...] to y [batch, out_channels, window.out...].
struct ConvGeometry {
  Window window;
  std::int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
};

/// Everything here is for T = float and double. Sums run over (channel, kernel position) in storage order, in
/// blocks of 256 (tiled_product.hpp): bits depend neither on the threads nor on the batch around an image.

/// y = conv(x, w) + bias; `bias` is empty or one value per output channel. Needs no scratch.
template <class T>
void conv(const ConvGeometry& geometry, const T* x, const T* w, std::span<const T> bias, T* y);

/// The adjoint for the input, also known as transposed convolution: gx [batch, in_channels, window.in...]
/// from g [batch, out_channels, window.out...]; `bias` is empty or one value per *input* channel
/// (ConvTranspose).
template <class T>
void conv_input_grad(const ConvGeometry& geometry, const T* g, const T* w, std::span<const T> bias, T* gx,
                     std::span<std::byte> scratch);
template <class T>
[[nodiscard]] std::size_t conv_input_grad_scratch_bytes(const ConvGeometry& geometry);

/// The adjoint for the weight: gw [out_channels, in_channels / groups, window.kernel...].
template <class T>
void conv_weight_grad(const ConvGeometry& geometry, const T* x, const T* g, T* gw,
                      std::span<std::byte> scratch);
template <class T>
[[nodiscard]] std::size_t conv_weight_grad_scratch_bytes(const ConvGeometry& geometry);

}  // namespace rulegrad::kernels
