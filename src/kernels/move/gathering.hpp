#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rulegrad::kernels {

/// An array seen from the axis at which something is looked up: [outer, extent, inner].
struct RowsAt {
  std::int64_t outer, extent, inner;
};

/// y [outer, count, inner]: for each of `outer` by itself the slices of x [outer, extent, inner] at indices
/// [outer, count], negative ones from the end. Throws Error(invalid_argument) that names the index and the
/// extent.
void gather_rows(std::size_t element_bytes, RowsAt x_at, std::int64_t count,
                 std::span<const std::int64_t> indices, const void* x, void* y);
/// The adjoint: y [outer, extent, inner] = 0 plus the slices of g [outer, count, inner], in order.
template <class T>
void scatter_rows(RowsAt y_at, std::int64_t count, std::span<const std::int64_t> indices, const T* g, T* y);

/// y[o, k, i]: the sum of x[o, 0..k, i], of x[o, 0..k-1, i] if `exclusive`; over what comes behind if
/// `reverse`.
template <class T>
void cumsum(RowsAt at, bool exclusive, bool reverse, const T* x, T* y);

/// y [outer, count, inner]: places along the middle axis of the `count` largest (smallest), the best first;
/// among equals the one in front, NaN before everything.
template <class T>
void top_index(RowsAt at, std::int64_t count, bool smallest, const T* x, std::int64_t* y);

}  // namespace rulegrad::kernels
