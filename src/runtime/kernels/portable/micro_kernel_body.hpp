#pragma once

// Included by one micro_kernel_*.cpp per instruction set; everything here has internal linkage on purpose.

#include "runtime/kernels/portable/micro_kernel.hpp"

namespace rulegrad::kernels {
namespace {

template <class T, int bytes>
struct VectorOf {
  typedef T type
      __attribute__((vector_size(bytes), aligned(alignof(T)), may_alias));  // unaligned loads and stores
};

template <class T, int bytes, int rows, int vectors>
void micro(std::int64_t depth, const T* a, std::int64_t a_stride, const T* b, T* c, std::int64_t c_stride,
           bool accumulate) {
  using Vector = typename VectorOf<T, bytes>::type;
  constexpr int lanes = bytes / static_cast<int>(sizeof(T));
  Vector sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) sum[i][v] = Vector{};
  for (std::int64_t p = 0; p < depth; ++p) {
    Vector right[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v)
      right[v] = *reinterpret_cast<const Vector*>(b + (p * vectors + v) * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const T left = a[i * a_stride + p];
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      Vector* const out = reinterpret_cast<Vector*>(c + i * c_stride + v * lanes);
      *out = accumulate ? *out + sum[i][v] : sum[i][v];
    }
}

template <class T, int bytes, int rows>
constexpr void fill_row(MicroKernels<T>& kernels) {
  kernels.table[rows - 1][0] = micro<T, bytes, rows, 1>;
  kernels.table[rows - 1][1] = micro<T, bytes, rows, 2>;
  kernels.table[rows - 1][2] = micro<T, bytes, rows, 3>;
  if constexpr (rows > 1) fill_row<T, bytes, rows - 1>(kernels);
}

template <class T, int bytes, int max_rows>
constexpr MicroKernels<T> make_micro_kernels() {
  MicroKernels<T> kernels{bytes / static_cast<int>(sizeof(T)), max_rows, {}};
  fill_row<T, bytes, max_rows>(kernels);
  return kernels;
}

}  // namespace
}  // namespace rulegrad::kernels
