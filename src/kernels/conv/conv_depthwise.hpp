#pragma once

#include "kernels/conv/conv.hpp"

namespace rulegrad::kernels {

/// One input channel per group and few output channels: no product to win from, so direct loops over planes.
[[nodiscard]] inline bool is_depthwise(const ConvGeometry& g) {
  return g.groups == g.in_channels && g.out_channels <= 4 * g.groups && g.groups > 1;
}

template <class T>
void depthwise(const ConvGeometry& geometry, const T* x, const T* w, std::span<const T> bias, T* y);
template <class T>
void depthwise_input_grad(const ConvGeometry& geometry, const T* g, const T* w, std::span<const T> bias,
                          T* gx);
template <class T>
void depthwise_weight_grad(const ConvGeometry& geometry, const T* x, const T* g, T* gw);

}  // namespace rulegrad::kernels
