#include "kernels/reduce/softmax.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/elementwise/vector_math.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 1.5 times as long (encoder, lxt.attn_lrp, batch 1): benchmarks/kernel_worth.
const KernelPath rows_path("softmax: rows");
// Stays: no measured network takes it; in float32 its sums are taken in float64 as those of rows.
const KernelPath columns_path("softmax: columns");

constexpr std::int64_t tile_extent = 64;

template <class T>
T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

template <bool logarithm, class T>
void row(std::int64_t extent, const T* x, T* y) {
  // Sixteen running values each, so that the loops vectorise and do not depend on how wide.
  constexpr std::int64_t lanes = 16, block = 256;
  T top_of[lanes];
  for (std::int64_t j = 0; j < lanes; ++j) top_of[j] = x[std::min(j, extent - 1)];
  for (std::int64_t i = 0; i < extent; i += lanes)
    for (std::int64_t j = 0; j < std::min(lanes, extent - i); ++j) top_of[j] = larger(top_of[j], x[i + j]);
  T top = top_of[0];
  for (std::int64_t j = 1; j < lanes; ++j) top = larger(top, top_of[j]);

  double sum_of[lanes] = {};
  for (std::int64_t i = 0; i < extent; i += block) {
    const std::int64_t length = std::min(block, extent - i);
    T e[block];
#pragma omp simd
    for (std::int64_t j = 0; j < length; ++j) e[j] = fn::exp(x[i + j] - top);
    for (std::int64_t j = length; j < (length + lanes - 1) / lanes * lanes; ++j) e[j] = T(0);
    for (std::int64_t j = 0; j < length; j += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) sum_of[l] += static_cast<double>(e[j + l]);
    if constexpr (!logarithm) std::copy_n(e, length, y + i);
  }
  double sum = 0;
  for (std::int64_t j = 0; j < lanes; ++j) sum += sum_of[j];
  const T scale = static_cast<T>(logarithm ? std::log(sum) : 1 / sum);
#pragma omp simd
  for (std::int64_t i = 0; i < extent; ++i) y[i] = logarithm ? x[i] - top - scale : y[i] * scale;
}

/// Up to tile_extent neighbouring columns of stride `inner`.
template <bool logarithm, class T>
void columns(std::int64_t extent, std::int64_t inner, std::int64_t width, const T* x, T* y) {
  T top[tile_extent], e[tile_extent], scale[tile_extent];
  double sum[tile_extent];
  std::copy_n(x, width, top);
  std::fill_n(sum, width, 0.0);
  for (std::int64_t i = 1; i < extent; ++i)
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) top[j] = larger(top[j], x[i * inner + j]);
  for (std::int64_t i = 0; i < extent; ++i) {
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) e[j] = fn::exp(x[i * inner + j] - top[j]);
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) sum[j] += static_cast<double>(e[j]);
    if constexpr (!logarithm) std::copy_n(e, width, y + i * inner);
  }
  for (std::int64_t j = 0; j < width; ++j)
    scale[j] = static_cast<T>(logarithm ? std::log(sum[j]) : 1 / sum[j]);
  for (std::int64_t i = 0; i < extent; ++i)
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) {
      T& out = y[i * inner + j];
      out = logarithm ? x[i * inner + j] - top[j] - scale[j] : out * scale[j];
    }
}

template <bool logarithm, class T>
void apply(DimsView dims, std::int64_t axis, const T* x, T* y) {
  const auto at = static_cast<std::size_t>(axis);
  const std::int64_t extent = dims[at], inner = count_of(dims.subspan(at + 1)),
                     outer = count_of(dims.first(at));
  if (outer * extent * inner == 0) return;
  const std::int64_t tiles = (inner + tile_extent - 1) / tile_extent;
  (inner == 1 ? rows_path : columns_path).taken();
  parallel_each(outer * tiles, extent * std::min(inner, tile_extent) * 8, [&](std::int64_t task) {
    const std::int64_t first = task % tiles * tile_extent, offset = task / tiles * extent * inner + first;
    vectorised([&] {
      if (inner == 1)
        row<logarithm>(extent, x + offset, y + offset);
      else
        columns<logarithm>(extent, inner, std::min(tile_extent, inner - first), x + offset, y + offset);
    });
  });
}

}  // namespace

template <class T>
void softmax(DimsView dims, std::int64_t axis, const T* x, T* y) {
  apply<false>(dims, axis, x, y);
}

template <class T>
void log_softmax(DimsView dims, std::int64_t axis, const T* x, T* y) {
  apply<true>(dims, axis, x, y);
}

template void softmax(DimsView, std::int64_t, const float*, float*);
template void softmax(DimsView, std::int64_t, const double*, double*);
template void log_softmax(DimsView, std::int64_t, const float*, float*);
template void log_softmax(DimsView, std::int64_t, const double*, double*);

}  // namespace rulegrad::kernels
