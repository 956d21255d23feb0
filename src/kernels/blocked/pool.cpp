#include "kernels/blocked/pool.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/pool/pool_windows.hpp"

namespace rulegrad::kernels::blocked {
namespace {

/// Calls f(group, output position, reaches) for all windows, rows of them on several threads.
template <class F>
void for_each_window_of(const Window& w, std::int64_t groups, std::int64_t block, F f) {
  const std::int64_t rows = w.out[0] * w.out[1];
  parallel_each(groups * rows, w.out[2] * w.taps() * block / 4, [&](std::int64_t i) {
    const std::int64_t row = i % rows;
    const Reach r0 = reach(w, 0, row / w.out[1], 0, w.in[0]), r1 = reach(w, 1, row % w.out[1], 0, w.in[1]);
    vectorised([&] {
      for (std::int64_t o = 0; o < w.out[2]; ++o)
        f(i / rows, row * w.out[2] + o, r0, r1, reach(w, 2, o, 0, w.in[2]));
    });
  });
}

/// The first maximum of each channel of one window: the input position, -1 for none. Loops over the channels
/// of a block say `simd`: g++ would unroll them before it thinks of vectors, six times slower.
template <class T, int Block>
std::array<std::int32_t, Block> first_maxima(const Window& w, const T* x, const Reach& r0, const Reach& r1,
                                             const Reach& r2) {
  std::array<std::int32_t, Block> where;
  std::array<T, Block> best;
  where.fill(-1);
  best.fill(-std::numeric_limits<T>::infinity());
  for_each_inside(w, r0, r1, r2, [&](std::int64_t at) {
    const T* const values = x + at * Block;
    const auto place = static_cast<std::int32_t>(at);
#pragma omp simd
    for (std::size_t c = 0; c < Block; ++c) {
      const T value = values[c], top = best[c];
      const bool wins = (value > top) | ((value != value) & (top == top)) | (where[c] < 0);
      best[c] = wins ? value : top;
      where[c] = wins ? place : where[c];
    }
  });
  return where;
}

}  // namespace

template <class T, int Block>
void max_pool(const Window& window, std::int64_t groups, const T* x, T* y) {
  for_each_window_of(
      window, groups, Block,
      [&](std::int64_t group, std::int64_t o, const Reach& r0, const Reach& r1, const Reach& r2) {
        const T* const in = x + group * window.in_count() * Block;
        std::array<T, Block> best;
        best.fill(-std::numeric_limits<T>::infinity());
        for_each_inside(window, r0, r1, r2, [&](std::int64_t at) {
          const T* const values = in + at * Block;
#pragma omp simd
          for (std::size_t c = 0; c < Block; ++c)
            best[c] = (best[c] > values[c]) | (best[c] != best[c]) ? best[c] : values[c];
        });
        std::copy_n(best.data(), Block, y + (group * window.out_count() + o) * Block);
      });
}

template <class T, int Block>
void max_pool_input_grad(const Window& window, std::int64_t groups, const T* x, const T* g, T* gx) {
  parallel_each(groups, window.out_count() * window.taps() * Block, [&](std::int64_t group) {
    const T* const in = x + group * window.in_count() * Block;
    const T* const back = g + group * window.out_count() * Block;
    T* const out = gx + group * window.in_count() * Block;
    vectorised([&] {
      std::fill_n(out, window.in_count() * Block, T(0));
      for_each_window(window, [&](std::int64_t o, const Reach& r0, const Reach& r1, const Reach& r2) {
        const auto where = first_maxima<T, Block>(window, in, r0, r1, r2);
        const T* const from = back + o * Block;
        for_each_inside(window, r0, r1, r2, [&](std::int64_t at) {
          const auto place = static_cast<std::int32_t>(at);
          T* const to = out + at * Block;
#pragma omp simd
          for (std::size_t c = 0; c < Block; ++c) to[c] += where[c] == place ? from[c] : T(0);
        });
      });
    });
  });
}

template <class T, int Block>
void max_pool_select(const Window& window, std::int64_t groups, const T* x, const T* t, T* y) {
  for_each_window_of(
      window, groups, Block,
      [&](std::int64_t group, std::int64_t o, const Reach& r0, const Reach& r1, const Reach& r2) {
        const std::int64_t shift = group * window.in_count() * Block;
        const auto where = first_maxima<T, Block>(window, x + shift, r0, r1, r2);
        T* const to = y + (group * window.out_count() + o) * Block;
#pragma omp simd
        for (std::size_t c = 0; c < Block; ++c)
          to[c] = where[c] >= 0 ? t[shift + where[c] * Block + static_cast<std::int64_t>(c)] : T(0);
      });
}

template <class T, int Block>
void avg_pool(const Window& window, bool count_padding, std::int64_t groups, const T* x, T* y) {
  const std::vector<T> counts = divisors<T>(window, count_padding);
  const auto mean = [&]<class Sum>(Sum) {
    for_each_window_of(
        window, groups, Block,
        [&](std::int64_t group, std::int64_t o, const Reach& r0, const Reach& r1, const Reach& r2) {
          const T* const in = x + group * window.in_count() * Block;
          std::array<Sum, Block> sum{};
          for_each_inside(window, r0, r1, r2, [&](std::int64_t at) {
#pragma omp simd
            for (std::size_t c = 0; c < Block; ++c)
              sum[c] += static_cast<Sum>(in[at * Block + static_cast<std::int64_t>(c)]);
          });
          const T count = counts[static_cast<std::size_t>(o)];
          T* const to = y + (group * window.out_count() + o) * Block;
#pragma omp simd
          for (std::size_t c = 0; c < Block; ++c)
            to[c] = count > T(0) ? static_cast<T>(sum[c] / static_cast<Sum>(count)) : T(0);
        });
  };
  if (window.taps() <= short_sum)
    mean(T{});
  else
    mean(double{});
}

template <class T, int Block>
void avg_pool_input_grad(const Window& window, bool count_padding, std::int64_t groups, const T* g, T* gx) {
  const std::vector<T> counts = divisors<T>(window, count_padding);
  parallel_each(groups, window.out_count() * window.taps() * Block, [&](std::int64_t group) {
    const T* const back = g + group * window.out_count() * Block;
    T* const out = gx + group * window.in_count() * Block;
    vectorised([&] {
      std::fill_n(out, window.in_count() * Block, T(0));
      // In the order of the portable kernel, which is that of its sums.
      for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
        const T* const from = back + row * window.out[2] * Block;
        const T* const count = counts.data() + row * window.out[2];
        for_each_tap(window, row / window.out[1], row % window.out[1],
                     [&](std::int64_t to, std::int64_t begin, std::int64_t end, std::int64_t step) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         T* const sum = out + (to + i * step) * Block;
#pragma omp simd
                         for (std::size_t c = 0; c < Block; ++c)
                           sum[c] += from[i * Block + static_cast<std::int64_t>(c)] / count[i];
                       }
                     });
      }
    });
  });
}

#define RULEGRAD_FOR_BLOCK(N)                                                                               \
  template void max_pool<float, N>(const Window&, std::int64_t, const float*, float*);                      \
  template void max_pool_input_grad<float, N>(const Window&, std::int64_t, const float*, const float*,      \
                                              float*);                                                      \
  template void max_pool_select<float, N>(const Window&, std::int64_t, const float*, const float*, float*); \
  template void avg_pool<float, N>(const Window&, bool, std::int64_t, const float*, float*);                \
  template void avg_pool_input_grad<float, N>(const Window&, bool, std::int64_t, const float*, float*);
RULEGRAD_FOR_BLOCK(8)
RULEGRAD_FOR_BLOCK(16)
#undef RULEGRAD_FOR_BLOCK

}  // namespace rulegrad::kernels::blocked
