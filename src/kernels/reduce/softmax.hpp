#pragma once

#include <cstdint>

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// y = e^(x - max) / sum e^(x - max) along `axis`; the sum runs in float64. T = float, double. y may be x.
template <class T>
void softmax(DimsView dims, std::int64_t axis, const T* x, T* y);
/// y = x - max - log(sum e^(x - max)) along `axis`.
template <class T>
void log_softmax(DimsView dims, std::int64_t axis, const T* x, T* y);

}  // namespace rulegrad::kernels
