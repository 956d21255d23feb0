#include "kernels/pool/pool.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/scratch.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/pool/pool_pairs.hpp"
#include "kernels/pool/pool_windows.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 1.33 times as long (LeNet, integrated gradients, batch 8): benchmarks/kernel_worth.
const KernelPath pairs_path("max_pool: pairs");
// Only counted: xtensor has no windows.
const KernelPath windows_path("max_pool: windows", KernelPath::Choice::only);
// Without it an analysis takes 1.5 times as long (LeNet, deeplift.rescale, batch 8): benchmarks/kernel_worth.
const KernelPath pairs_back_path("max_pool back: pairs");
// Only counted: xtensor has no windows.
const KernelPath windows_back_path("max_pool back: windows", KernelPath::Choice::only);
// Without it an analysis takes 1.27 times as long (MobileNet, lrp.alpha_2_beta_1, batch 4): benchmarks/kernel_worth.
const KernelPath short_path("avg_pool: short sums");
// Only counted: long sums are taken in float64, and xtensor has no windows.
const KernelPath long_path("avg_pool: long sums", KernelPath::Choice::only);

/// Room for the maxima of one output row.
template <class T>
std::pair<std::int64_t*, T*> row_scratch(const Window& w) {
  const auto width = static_cast<std::size_t>(w.out[2]);
  std::byte* const room = thread_scratch(width * (sizeof(std::int64_t) + sizeof(T)));
  return {reinterpret_cast<std::int64_t*>(room), reinterpret_cast<T*>(room + width * sizeof(std::int64_t))};
}

/// The first maximum of each window of an output row, -1 for none, and its value.
template <class T>
void first_maxima(const Window& w, std::int64_t o0, std::int64_t o1, const T* x, std::int64_t* where,
                  T* best) {
  std::fill_n(where, w.out[2], std::int64_t{-1});
  std::fill_n(best, w.out[2], -std::numeric_limits<T>::infinity());
  for_each_tap(w, o0, o1, [&](std::int64_t row, std::int64_t begin, std::int64_t end, std::int64_t step) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = row + i * step;
      const T value = x[at], top = best[i];
      const bool wins = beats(value, top) || where[i] < 0;
      best[i] = wins ? value : top;
      where[i] = wins ? at : where[i];
    }
  });
}

}  // namespace

template <class T>
void max_pool(const Window& window, std::int64_t planes, const T* x, T* y) {
  const bool pairs = pairs_path.open() && tiles_in_pairs(window);
  (pairs ? pairs_path : windows_path).taken();
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    T* const out = y + plane * window.out_count();
    vectorised([&] {
      if (pairs) return max_of_pairs(window, in, out);
      for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
        T* const best = out + row * window.out[2];
        std::fill_n(best, window.out[2], -std::numeric_limits<T>::infinity());
        for_each_tap(window, row / window.out[1], row % window.out[1],
                     [&](std::int64_t from, std::int64_t begin, std::int64_t end, std::int64_t step) {
#pragma omp simd
                       for (std::int64_t i = begin; i < end; ++i)
                         best[i] = larger_of(best[i], in[from + i * step]);
                     });
      }
    });
  });
}

template <class T>
void max_pool_input_grad(const Window& window, std::int64_t planes, const T* x, const T* g, T* gx) {
  const bool pairs = pairs_back_path.open() && tiles_in_pairs(window);
  (pairs ? pairs_back_path : windows_back_path).taken();
  parallel_each(planes, window.out_count() * window.taps() * 4, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    const T* const back = g + plane * window.out_count();
    T* const out = gx + plane * window.in_count();
    const auto [where, best] = row_scratch<T>(window);
    vectorised([&, where = where, best = best] {
      std::fill_n(out, window.in_count(), T(0));
      if (pairs) return give_to_pairs(window, in, back, out);
      for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
        first_maxima(window, row / window.out[1], row % window.out[1], in, where, best);
        const T* const from = back + row * window.out[2];
        for (std::int64_t i = 0; i < window.out[2]; ++i)
          if (where[i] >= 0) out[where[i]] += from[i];
      }
    });
  });
}

template <class T>
void max_pool_select(const Window& window, std::int64_t planes, const T* x, const T* t, T* y) {
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    const std::int64_t shift = plane * window.in_count();
    const auto [where, best] = row_scratch<T>(window);
    vectorised([&, where = where, best = best] {
      for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
        first_maxima(window, row / window.out[1], row % window.out[1], x + shift, where, best);
        T* const out = y + plane * window.out_count() + row * window.out[2];
        for (std::int64_t i = 0; i < window.out[2]; ++i) out[i] = where[i] >= 0 ? t[shift + where[i]] : T(0);
      }
    });
  });
}

template <class T>
void avg_pool(const Window& window, bool count_padding, std::int64_t planes, const T* x, T* y) {
  const std::vector<T> counts = divisors<T>(window, count_padding);
  const bool brief = short_path.open() && window.taps() <= short_sum;
  (brief ? short_path : long_path).taken();
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    T* const out = y + plane * window.out_count();
    vectorised([&] {
      if (brief) {
        for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
          T* const sum = out + row * window.out[2];
          std::fill_n(sum, window.out[2], T(0));
          for_each_tap(window, row / window.out[1], row % window.out[1],
                       [&](std::int64_t from, std::int64_t begin, std::int64_t end, std::int64_t step) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i) sum[i] += in[from + i * step];
                       });
        }
        for (std::int64_t i = 0; i < window.out_count(); ++i) {
          const T count = counts[static_cast<std::size_t>(i)];
          out[i] = count > T(0) ? out[i] / count : T(0);
        }
        return;
      }
      for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
        double sum = 0;
        for_each_inside(window, r0, r1, r2, [&](std::int64_t i) { sum += static_cast<double>(in[i]); });
        const T count = counts[static_cast<std::size_t>(at)];
        out[at] = count > T(0) ? static_cast<T>(sum / static_cast<double>(count)) : T(0);
      });
    });
  });
}

template <class T>
void avg_pool_input_grad(const Window& window, bool count_padding, std::int64_t planes, const T* g, T* gx) {
  const std::vector<T> counts = divisors<T>(window, count_padding);
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    T* const out = gx + plane * window.in_count();
    vectorised([&] {
      std::fill_n(out, window.in_count(), T(0));
      for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
        const T* const from = g + plane * window.out_count() + row * window.out[2];
        const T* const count = counts.data() + row * window.out[2];
        for_each_tap(window, row / window.out[1], row % window.out[1],
                     [&](std::int64_t to, std::int64_t begin, std::int64_t end, std::int64_t step) {
#pragma omp simd
                       for (std::int64_t i = begin; i < end; ++i) out[to + i * step] += from[i] / count[i];
                     });
      }
    });
  });
}

#define RULEGRAD_FOR_TYPE(T)                                                              \
  template void max_pool(const Window&, std::int64_t, const T*, T*);                      \
  template void max_pool_input_grad(const Window&, std::int64_t, const T*, const T*, T*); \
  template void max_pool_select(const Window&, std::int64_t, const T*, const T*, T*);     \
  template void avg_pool(const Window&, bool, std::int64_t, const T*, T*);                \
  template void avg_pool_input_grad(const Window&, bool, std::int64_t, const T*, T*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
#undef RULEGRAD_FOR_TYPE

}  // namespace rulegrad::kernels
