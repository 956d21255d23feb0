#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/tensor/dtype.hpp"

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// Functions that only move elements take memory without a type and the size of an element: 1, 4 or 8 bytes.

/// y[i_perm...] = x[i...]: axis k of y is axis perm[k] of x.
void transpose(std::size_t element_bytes, DimsView x_dims, DimsView perm, const void* x, void* y);

/// y = x stretched (NumPy broadcast_to) to y_dims.
void expand(std::size_t element_bytes, DimsView x_dims, const void* x, DimsView y_dims, void* y);

/// y[i...] = x[start + i * step ...], one start and (possibly negative) step for each axis; y_dims says how
/// many.
void slice(std::size_t element_bytes, DimsView x_dims, DimsView starts, DimsView steps, const void* x,
           DimsView y_dims, void* y);
/// Writes g [g_dims] to those places of y [y_dims] and zeros elsewhere: the adjoint of slice.
void slice_scatter(std::size_t element_bytes, DimsView g_dims, DimsView starts, DimsView steps, const void* g,
                   DimsView y_dims, void* y);

/// y [outer, sum of extents, inner] from arrays [outer, extents[k], inner].
void concat(std::size_t element_bytes, std::int64_t outer, std::span<const std::int64_t> extents,
            std::int64_t inner, std::span<const void* const> xs, void* y);

/// y = x with begin[k] and end[k] elements around axis k (negative ones crop). `value` points to the element
/// that PadMode::constant writes; reflect leaves the border element out (begin, end < extent), as numpy.pad
/// does.
void pad(std::size_t element_bytes, PadMode mode, DimsView x_dims, DimsView begin, DimsView end,
         const void* value, const void* x, void* y);
/// The adjoint: gx [x_dims] from g [padded]; padding elements add to the element they were copied from.
template <class T>
void pad_adjoint(PadMode mode, DimsView x_dims, DimsView begin, DimsView end, const T* g, T* gx);

/// y [outer, indices, inner]: the slices of x [outer, extent, inner] at `indices`, -extent <= i < extent,
/// negative ones from the end. Throws Error(invalid_argument) that names the index and the extent.
void gather(std::size_t element_bytes, std::int64_t outer, std::int64_t extent, std::int64_t inner,
            std::span<const std::int64_t> indices, const void* x, void* y);
/// The adjoint: y [outer, extent, inner] = 0 plus the slices of g [outer, indices, inner] at `indices`, in
/// order.
template <class T>
void scatter_add(std::int64_t outer, std::int64_t extent, std::int64_t inner,
                 std::span<const std::int64_t> indices, const T* g, T* y);

/// y [indices, depth]: 1 at the index, which may count from the end, 0 elsewhere; an index outside gives
/// zeros (ONNX).
template <class T, class Index>
void one_hot(std::int64_t depth, std::span<const Index> indices, T* y);

/// y[i] = x[i] as static_cast converts it. Both with Tensor's element types.
void cast(DType from, DType to, std::int64_t count, const void* x, void* y);

}  // namespace rulegrad::kernels
