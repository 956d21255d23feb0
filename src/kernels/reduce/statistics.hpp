#pragma once

#include <cstdint>
#include <span>

namespace rulegrad::kernels {

/// y[s] = the q-quantile (0 <= q <= 1) of x[s, 0..count), linear between ranks, as numpy.quantile: rank q
/// (count - 1). NaN if there is a NaN. T = float, double. Throws Error(shape) if count is 0.
template <class T>
void quantile(double q, std::int64_t samples, std::int64_t count, const T* x, T* y);

/// The first index whose value is NaN or infinite, or -1. T = float, double.
template <class T>
[[nodiscard]] std::int64_t first_non_finite(std::span<const T> values);

}  // namespace rulegrad::kernels
