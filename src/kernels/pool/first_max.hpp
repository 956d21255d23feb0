#pragma once

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// y = true at the first largest value of x, in row-major order, over `axes` (non-negative, no doubles),
/// false elsewhere; a NaN counts as larger than all others. T = float, double, std::int32_t, std::int64_t.
template <class T>
void first_max(DimsView x_dims, DimsView axes, const T* x, bool* y);

}  // namespace rulegrad::kernels
