#pragma once

// Included by one micro_kernel_*.cpp per instruction set; everything here has internal linkage on purpose.

#include "kernels/product/micro_kernel.hpp"

namespace rulegrad::kernels {
namespace {

template <class T, int bytes>
struct VectorOf {
  typedef T type
      __attribute__((vector_size(bytes), aligned(alignof(T)), may_alias));  // unaligned loads and stores
};

/// Halves are added until one number is left.
template <class T, int bytes, class Vector>
T sum_of_lanes(const Vector& sum) {
  if constexpr (bytes == sizeof(T)) {
    return sum[0];
  } else {
    using Half = typename VectorOf<T, bytes / 2>::type;
    Half halves[2];
    __builtin_memcpy(halves, &sum, bytes);
    const Half less = halves[0] + halves[1];
    return sum_of_lanes<T, bytes / 2>(less);
  }
}

/// Row p of the right operand is `vectors` vectors from row(p) on, `step` apart.
template <class T, int bytes, int rows, int vectors, class Row>
[[gnu::always_inline]] inline void multiply(std::int64_t depth, const T* a, std::int64_t a_row,
                                            std::int64_t a_step, Row row, std::int64_t step, T* c,
                                            std::int64_t c_stride, bool accumulate) {
  using Vector = typename VectorOf<T, bytes>::type;
  constexpr int lanes = bytes / static_cast<int>(sizeof(T));
  Vector sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = Vector{};
  for (std::int64_t p = 0; p < depth; ++p, a += a_step) {
    const T* const from = row(p);
    Vector right[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) right[v] = *reinterpret_cast<const Vector*>(from + v * step);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const T left = a[i * a_row];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      Vector* const out = reinterpret_cast<Vector*>(c + i * c_stride + v * lanes);
      *out = accumulate ? *out + sum[i][v] : sum[i][v];
    }
}

template <class T, int bytes, int rows, int vectors>
void micro(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_step, const T* b,
           std::int64_t b_stride, T* c, std::int64_t c_stride, bool accumulate) {
  constexpr int lanes = bytes / static_cast<int>(sizeof(T));
  multiply<T, bytes, rows, vectors>(
      depth, a, a_row, a_step, [=](std::int64_t p) { return b + p * b_stride; }, lanes, c, c_stride,
      accumulate);
}

template <class T, int bytes, int rows, int vectors>
void shifted(std::int64_t depth, const T* a, std::int64_t a_stride, const T* b, const std::int64_t* offsets,
             std::int64_t b_step, T* c, std::int64_t c_stride, bool accumulate) {
  multiply<T, bytes, rows, vectors>(
      depth, a, a_stride, 1, [=](std::int64_t p) { return b + offsets[p]; }, b_step, c, c_stride, accumulate);
}

template <class T, int bytes, int rows, int columns>
void dot(std::int64_t depth, const T* x, std::int64_t x_stride, const T* w, std::int64_t w_stride, T* out,
         std::int64_t out_stride, bool accumulate) {
  using Vector = typename VectorOf<T, bytes>::type;
  constexpr int lanes = bytes / static_cast<int>(sizeof(T));
  Vector sum[rows][columns];
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) sum[i][j] = Vector{};
  std::int64_t p = 0;
  for (; p + lanes <= depth; p += lanes) {
    Vector right[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) right[j] = *reinterpret_cast<const Vector*>(w + j * w_stride + p);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const Vector left = *reinterpret_cast<const Vector*>(x + i * x_stride + p);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      T total = sum_of_lanes<T, bytes>(sum[i][j]);
      for (std::int64_t q = p; q < depth; ++q) total += x[i * x_stride + q] * w[j * w_stride + q];
      T& to = out[i * out_stride + j];
      to = accumulate ? to + total : total;
    }
}

template <class T, int bytes, int outputs, int pixels>
void narrow(std::int64_t groups, std::int64_t taps, std::int64_t blocks, const T* const* g,
            std::int64_t block_stride, const T* const* w, T* out, std::int64_t pixel, std::int64_t output) {
  using Vector = typename VectorOf<T, bytes>::type;
  constexpr int lanes = bytes / static_cast<int>(sizeof(T));
  for (std::int64_t first = 0; first < groups * pixels; first += pixels) {
    Vector sum[pixels][outputs];
#pragma GCC unroll 4
    for (int i = 0; i < pixels; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < outputs; ++j) sum[i][j] = Vector{};
    for (std::int64_t t = 0; t < taps; ++t)
      for (std::int64_t b = 0; b < blocks; ++b) {
        Vector right[outputs];
#pragma GCC unroll 4
        for (int j = 0; j < outputs; ++j)
          right[j] = *reinterpret_cast<const Vector*>(w[t] + (b * outputs + j) * lanes);
#pragma GCC unroll 4
        for (int i = 0; i < pixels; ++i) {
          const Vector left = *reinterpret_cast<const Vector*>(g[t] + b * block_stride + (first + i) * lanes);
#pragma GCC unroll 4
          for (int j = 0; j < outputs; ++j) sum[i][j] += left * right[j];
        }
      }
#pragma GCC unroll 4
    for (int i = 0; i < pixels; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < outputs; ++j)
        out[(first + i) * pixel + j * output] = sum_of_lanes<T, bytes>(sum[i][j]);
  }
}

template <class T, int bytes, int outputs>
constexpr void fill_narrow(MicroKernels<T>& kernels) {
  kernels.narrow[outputs - 1][0] = narrow<T, bytes, outputs, 1>;
  kernels.narrow[outputs - 1][1] = narrow<T, bytes, outputs, narrow_pixels>;
  if constexpr (outputs > 1) fill_narrow<T, bytes, outputs - 1>(kernels);
}

/// As many sums as the registers hold.
template <class T, int bytes, int rows, int size>
constexpr void fill_shifted(MicroKernels<T>& kernels) {
  if constexpr (rows << size <= (bytes == 64 ? 24 : 12))
    kernels.shifted[rows - 1][size] = shifted<T, bytes, rows, 1 << size>;
  if constexpr (size > 0) fill_shifted<T, bytes, rows, size - 1>(kernels);
}

template <class T, int bytes, int rows>
constexpr void fill_row(MicroKernels<T>& kernels) {
  fill_shifted<T, bytes, rows, shifted_sizes - 1>(kernels);
  kernels.table[rows - 1][0] = micro<T, bytes, rows, 1>;
  kernels.table[rows - 1][1] = micro<T, bytes, rows, 2>;
  kernels.table[rows - 1][2] = micro<T, bytes, rows, 3>;
  if constexpr (rows <= dot_block) {
    kernels.dot[rows - 1][0] = dot<T, bytes, rows, 1>;
    kernels.dot[rows - 1][1] = dot<T, bytes, rows, 2>;
    kernels.dot[rows - 1][2] = dot<T, bytes, rows, 3>;
    kernels.dot[rows - 1][3] = dot<T, bytes, rows, 4>;
  }
  if constexpr (rows > 1) fill_row<T, bytes, rows - 1>(kernels);
}

template <class T, int bytes, int max_rows>
constexpr MicroKernels<T> make_micro_kernels() {
  MicroKernels<T> kernels{bytes / static_cast<int>(sizeof(T)), max_rows, {}, {}, {}, {}};
  fill_narrow<T, bytes, narrow_outputs>(kernels);
  fill_row<T, bytes, max_rows>(kernels);
  return kernels;
}

}  // namespace
}  // namespace rulegrad::kernels
