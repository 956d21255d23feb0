#pragma once

#include <cstdint>

#include "kernels/move/window.hpp"

namespace rulegrad::kernels {

/// Pooling of `planes` (batch x channels) arrays window.in to window.out. Window positions outside the input
/// never count, but the padding of avg_pool when `count_padding` is set (ONNX count_include_pad): then a
/// window divides by its positions inside the padded input, pad_begin + in + pad_end; those beyond it (ceil
/// mode) do not count. A window without any position gives -infinity (max) or 0 (average). T = float, double.

/// The largest value of each window; NaN if there is one.
template <class T>
void max_pool(const Window& window, std::int64_t planes, const T* x, T* y);
/// gx = the adjoint at x: each window gives its g to its first maximum in row-major order (to its first NaN,
/// if there is one); overlapping windows add.
template <class T>
void max_pool_input_grad(const Window& window, std::int64_t planes, const T* x, const T* g, T* gx);
/// y[window] = t[first maximum of x in the window]: the derivative of max_pool at x in direction t.
template <class T>
void max_pool_select(const Window& window, std::int64_t planes, const T* x, const T* t, T* y);

template <class T>
void avg_pool(const Window& window, bool count_padding, std::int64_t planes, const T* x, T* y);
template <class T>
void avg_pool_input_grad(const Window& window, bool count_padding, std::int64_t planes, const T* g, T* gx);

}  // namespace rulegrad::kernels
