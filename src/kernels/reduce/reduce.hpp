#pragma once

#include <cstdint>

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

enum class Reduction : std::uint8_t {
  sum,
  mean,  ///< of no values: NaN; integers truncate
  amax,  ///< NaN if any value is; of no values: -infinity, or the smallest integer
  amin,
  prod,
};

/// y = reduction of x over `axes` (non-negative, ascending, no doubles; empty: none). y has the kept axes in
/// order. T = float, double, std::int32_t, std::int64_t. Sums and products of float and double run in
/// float64, in chunks that depend on the extents alone; integers in std::int64_t. float32 results are so
/// rounded once, double results carry about count / 16 roundings at worst.
template <class T>
void reduce(Reduction op, DimsView x_dims, DimsView axes, const T* x, T* y);

/// The adjoint of broadcasting y_dims to x_dims: sums over the axes that were stretched or added.
template <class T>
void sum_to(DimsView x_dims, const T* x, DimsView y_dims, T* y);

/// The index along `axis` of the first largest (smallest) value; a NaN counts as larger (smaller) than all
/// others. y has the axes of x but `axis`. T = float, double, std::int32_t, std::int64_t. Throws Error(shape)
/// if x has no value along the axis.
template <class T>
void argmax(DimsView x_dims, std::int64_t axis, const T* x, std::int64_t* y);
template <class T>
void argmin(DimsView x_dims, std::int64_t axis, const T* x, std::int64_t* y);

}  // namespace rulegrad::kernels
