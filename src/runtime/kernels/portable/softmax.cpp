#include "runtime/kernels/portable/softmax.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/kernels/portable/isa.hpp"
#include "runtime/kernels/portable/parallel.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t kTile = 64;

template <class T>
T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

template <bool logarithm, class T>
void row(std::int64_t extent, const T* x, T* y) {
  T top = x[0];
  for (std::int64_t i = 1; i < extent; ++i) top = larger(top, x[i]);
  double sum = 0;
  for (std::int64_t i = 0; i < extent; ++i) {
    const T e = std::exp(x[i] - top);
    if constexpr (!logarithm) y[i] = e;
    sum += static_cast<double>(e);
  }
  const T scale = static_cast<T>(logarithm ? std::log(sum) : 1 / sum);
  for (std::int64_t i = 0; i < extent; ++i) y[i] = logarithm ? x[i] - top - scale : y[i] * scale;
}

/// Up to kTile neighbouring columns of stride `inner`.
template <bool logarithm, class T>
void columns(std::int64_t extent, std::int64_t inner, std::int64_t width, const T* x, T* y) {
  T top[kTile];
  double sum[kTile];
  std::copy_n(x, width, top);
  std::fill_n(sum, width, 0.0);
  for (std::int64_t i = 1; i < extent; ++i)
    for (std::int64_t j = 0; j < width; ++j) top[j] = larger(top[j], x[i * inner + j]);
  for (std::int64_t i = 0; i < extent; ++i)
    for (std::int64_t j = 0; j < width; ++j) {
      const T e = std::exp(x[i * inner + j] - top[j]);
      if constexpr (!logarithm) y[i * inner + j] = e;
      sum[j] += static_cast<double>(e);
    }
  T scale[kTile];
  for (std::int64_t j = 0; j < width; ++j)
    scale[j] = static_cast<T>(logarithm ? std::log(sum[j]) : 1 / sum[j]);
  for (std::int64_t i = 0; i < extent; ++i)
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
  const std::int64_t tiles = (inner + kTile - 1) / kTile;
  parallel_each(outer * tiles, extent * std::min(inner, kTile) * 8, [&](std::int64_t task) {
    const std::int64_t first = task % tiles * kTile, offset = task / tiles * extent * inner + first;
    vectorised([&] {
      if (inner == 1)
        row<logarithm>(extent, x + offset, y + offset);
      else
        columns<logarithm>(extent, inner, std::min(kTile, inner - first), x + offset, y + offset);
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
