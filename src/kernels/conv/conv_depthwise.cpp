#include "kernels/conv/conv_depthwise.hpp"

#include <algorithm>
#include <array>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

/// Calls f(tap, input row, output row, first output column, end, input column of output column 0) for each
/// tap and each pair of rows that it connects.
template <class F>
void for_each_row_pair(const Window& w, F&& f) {
  std::int64_t tap = 0;
  for (std::int64_t k0 = 0; k0 < w.kernel[0]; ++k0)
    for (std::int64_t k1 = 0; k1 < w.kernel[1]; ++k1)
      for (std::int64_t k2 = 0; k2 < w.kernel[2]; ++k2, ++tap) {
        const std::int64_t d2 = k2 * w.dilation[2] - w.pad_begin[2], s2 = w.stride[2];
        const std::int64_t begin = d2 >= 0 ? 0 : (-d2 + s2 - 1) / s2;
        const std::int64_t end = std::min(w.out[2], w.in[2] - d2 <= 0 ? 0 : (w.in[2] - d2 + s2 - 1) / s2);
        if (begin >= end) continue;
        for (std::int64_t o0 = 0; o0 < w.out[0]; ++o0) {
          const std::int64_t i0 = o0 * w.stride[0] + k0 * w.dilation[0] - w.pad_begin[0];
          if (i0 < 0 || i0 >= w.in[0]) continue;
          for (std::int64_t o1 = 0; o1 < w.out[1]; ++o1) {
            const std::int64_t i1 = o1 * w.stride[1] + k1 * w.dilation[1] - w.pad_begin[1];
            if (i1 < 0 || i1 >= w.in[1]) continue;
            f(tap, (i0 * w.in[1] + i1) * w.in[2], (o0 * w.out[1] + o1) * w.out[2], begin, end, d2);
          }
        }
      }
}

}  // namespace

template <class T>
void depthwise(const ConvGeometry& geometry, const T* x, const T* w, std::span<const T> bias, T* y) {
  const Window& window = geometry.window;
  const std::int64_t multiplier = geometry.out_channels / geometry.groups, taps = window.taps();
  const std::int64_t planes = geometry.batch * geometry.out_channels, step = window.stride[2];
  parallel_each(planes, window.out_count() * taps, [&](std::int64_t plane) {
    const std::int64_t n = plane / geometry.out_channels, o = plane % geometry.out_channels;
    const T* const in = x + (n * geometry.in_channels + o / multiplier) * window.in_count();
    const T* const weight = w + o * taps;
    T* const out = y + plane * window.out_count();
    vectorised([&] {
      std::fill_n(out, window.out_count(), T(0));
      for_each_row_pair(window, [&](std::int64_t tap, std::int64_t in_row, std::int64_t out_row,
                                    std::int64_t begin, std::int64_t end, std::int64_t shift) {
        const T value = weight[tap];
        const T* const from = in + in_row + shift;
        T* const to = out + out_row;
        if (step == 1) {
#pragma omp simd
          for (std::int64_t i = begin; i < end; ++i) to[i] += value * from[i];
        } else {
#pragma omp simd
          for (std::int64_t i = begin; i < end; ++i) to[i] += value * from[i * step];
        }
      });
      if (!bias.empty()) {
        const T offset = bias[static_cast<std::size_t>(o)];
        for (std::int64_t i = 0; i < window.out_count(); ++i) out[i] += offset;
      }
    });
  });
}

template <class T>
void depthwise_input_grad(const ConvGeometry& geometry, const T* g, const T* w, std::span<const T> bias,
                          T* gx) {
  const Window& window = geometry.window;
  const std::int64_t multiplier = geometry.out_channels / geometry.groups, taps = window.taps();
  const std::int64_t planes = geometry.batch * geometry.in_channels, step = window.stride[2];
  parallel_each(planes, window.out_count() * taps * multiplier, [&](std::int64_t plane) {
    const std::int64_t n = plane / geometry.in_channels, c = plane % geometry.in_channels;
    T* const out = gx + plane * window.in_count();
    vectorised([&] {
      std::fill_n(out, window.in_count(), T(0));
      for (std::int64_t m = 0; m < multiplier; ++m) {
        const std::int64_t o = c * multiplier + m;
        const T* const in = g + (n * geometry.out_channels + o) * window.out_count();
        const T* const weight = w + o * taps;
        for_each_row_pair(window, [&](std::int64_t tap, std::int64_t in_row, std::int64_t out_row,
                                      std::int64_t begin, std::int64_t end, std::int64_t shift) {
          const T value = weight[tap];
          const T* const from = in + out_row;
          T* const to = out + in_row + shift;
          if (step == 1) {
#pragma omp simd
            for (std::int64_t i = begin; i < end; ++i) to[i] += value * from[i];
          } else {
            for (std::int64_t i = begin; i < end; ++i) to[i * step] += value * from[i];
          }
        });
      }
      if (!bias.empty()) {
        const T offset = bias[static_cast<std::size_t>(c)];
        for (std::int64_t i = 0; i < window.in_count(); ++i) out[i] += offset;
      }
    });
  });
}

template <class T>
void depthwise_weight_grad(const ConvGeometry& geometry, const T* x, const T* g, T* gw) {
  const Window& window = geometry.window;
  const std::int64_t multiplier = geometry.out_channels / geometry.groups, taps = window.taps();
  parallel_each(geometry.out_channels, geometry.batch * window.out_count() * taps, [&](std::int64_t o) {
    T* const out = gw + o * taps;
    std::fill_n(out, taps, T(0));
    for (std::int64_t n = 0; n < geometry.batch; ++n) {
      const T* const in = x + (n * geometry.in_channels + o / multiplier) * window.in_count();
      const T* const back = g + (n * geometry.out_channels + o) * window.out_count();
      // A row is summed on its own first: the running sum then has out_rows terms, not out_rows *
      // out_columns.
      for_each_row_pair(window, [&](std::int64_t tap, std::int64_t in_row, std::int64_t out_row,
                                    std::int64_t begin, std::int64_t end, std::int64_t shift) {
        T sum = T(0);
        for (std::int64_t i = begin; i < end; ++i)
          sum += back[out_row + i] * in[in_row + shift + i * window.stride[2]];
        out[tap] += sum;
      });
    }
  });
}

template void depthwise(const ConvGeometry&, const float*, const float*, std::span<const float>, float*);
template void depthwise(const ConvGeometry&, const double*, const double*, std::span<const double>, double*);
template void depthwise_input_grad(const ConvGeometry&, const float*, const float*, std::span<const float>,
                                   float*);
template void depthwise_input_grad(const ConvGeometry&, const double*, const double*, std::span<const double>,
                                   double*);
template void depthwise_weight_grad(const ConvGeometry&, const float*, const float*, float*);
template void depthwise_weight_grad(const ConvGeometry&, const double*, const double*, double*);

}  // namespace rulegrad::kernels
