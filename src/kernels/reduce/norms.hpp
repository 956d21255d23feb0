#pragma once

#include <cstdint>
#include <span>

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// Arrays [outer, channels, inner] with parameters by channel: one value each, or one for all. T = float,
/// double.

/// y = (x - mean) * scale / sqrt(variance + epsilon) + bias; the factor is computed in float64. y may be x.
template <class T>
struct BatchNormParameters {
  std::span<const T> scale, bias, mean, variance;
  double epsilon = 1e-5;
};
template <class T>
void batch_norm(std::int64_t outer, std::int64_t channels, std::int64_t inner,
                const BatchNormParameters<T>& parameters, const T* x, T* y);

/// y = (x - m) / sqrt(v + epsilon) for each of `rows` rows of `count` values; mean m and variance v (of the
/// population, in two passes) in float64. y may be x.
template <class T>
void normalise_rows(std::int64_t rows, std::int64_t count, double epsilon, const T* x, T* y);

/// y = x / sqrt(mean of x^2 + epsilon) for each of `rows` rows of `count` values, the mean in float64. y may be x.
template <class T>
void rms_normalise_rows(std::int64_t rows, std::int64_t count, double epsilon, const T* x, T* y);

/// y = x / max((sum of |x|^p over the channels + epsilon)^(1/p), least), 0 where that divisor is 0; p is 1 or 2, sums
/// in float64. y may be x.
struct LpParameters {
  std::int64_t p = 2;
  double epsilon = 0, least = 0;
};
template <class T>
void lp_normalise(std::int64_t outer, std::int64_t channels, std::int64_t inner,
                  const LpParameters& parameters, const T* x, T* y);

/// Sums over `size` neighbouring channels, from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2) as far
/// as they exist (ONNX LRN); `reversed` swaps floor and ceil, which gives the adjoint.
template <class T>
void channel_window_sum(std::int64_t outer, std::int64_t channels, std::int64_t inner, std::int64_t size,
                        bool reversed, const T* x, T* y);

/// ONNX LRN: y = x / (bias + alpha / size * (sum of squares over the window above))^beta.
struct LrnParameters {
  std::int64_t size = 5;
  double alpha = 1e-4, beta = 0.75, bias = 1;
};
template <class T>
void lrn(std::int64_t outer, std::int64_t channels, std::int64_t inner, const LrnParameters& parameters,
         const T* x, T* y);

}  // namespace rulegrad::kernels
