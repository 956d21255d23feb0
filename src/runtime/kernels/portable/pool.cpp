#include "runtime/kernels/portable/pool.hpp"

#include <algorithm>
#include <limits>

#include "runtime/kernels/portable/isa.hpp"
#include "runtime/kernels/portable/parallel.hpp"

namespace rulegrad::kernels {
namespace {

/// The kernel positions [begin, end) of one window along one axis that lie inside [low, high) of the input.
struct Reach {
  std::int64_t begin, end, first;  // first: the input position of kernel position 0
};

Reach reach(const Window& w, std::size_t axis, std::int64_t o, std::int64_t low, std::int64_t high) {
  const std::int64_t first = o * w.stride[axis] - w.pad_begin[axis], d = w.dilation[axis];
  const std::int64_t begin = first >= low ? 0 : (low - first + d - 1) / d;
  const std::int64_t end = first >= high ? 0 : std::min(w.kernel[axis], (high - first + d - 1) / d);
  return {begin, std::max(begin, end), first};
}

/// Calls f(input position) for the positions of window (o0, o1, o2) that lie inside, in row-major order.
template <class F>
void for_each_inside(const Window& w, const Reach& r0, const Reach& r1, const Reach& r2, F&& f) {
  for (std::int64_t k0 = r0.begin; k0 < r0.end; ++k0)
    for (std::int64_t k1 = r1.begin; k1 < r1.end; ++k1) {
      const std::int64_t row =
          ((r0.first + k0 * w.dilation[0]) * w.in[1] + r1.first + k1 * w.dilation[1]) * w.in[2] + r2.first;
      for (std::int64_t k2 = r2.begin; k2 < r2.end; ++k2) f(row + k2 * w.dilation[2]);
    }
}

/// Calls f(output position, its reach on each axis) for all windows.
template <class F>
void for_each_window(const Window& w, F&& f) {
  std::int64_t at = 0;
  for (std::int64_t o0 = 0; o0 < w.out[0]; ++o0) {
    const Reach r0 = reach(w, 0, o0, 0, w.in[0]);
    for (std::int64_t o1 = 0; o1 < w.out[1]; ++o1) {
      const Reach r1 = reach(w, 1, o1, 0, w.in[1]);
      for (std::int64_t o2 = 0; o2 < w.out[2]; ++o2, ++at) f(at, r0, r1, reach(w, 2, o2, 0, w.in[2]));
    }
  }
}

/// A NaN beats numbers, and the first of two NaN stays.
template <class T>
bool beats(T a, T best) {
  return a > best || (a != a && best == best);
}

template <class T>
std::int64_t first_maximum(const Window& w, const Reach& r0, const Reach& r1, const Reach& r2, const T* x) {
  std::int64_t where = -1;
  T best = T(0);
  for_each_inside(w, r0, r1, r2, [&](std::int64_t at) {
    if (where < 0 || beats(x[at], best)) {
      where = at;
      best = x[at];
    }
  });
  return where;
}

/// Windows that never leave the input, 2 wide and 2 apart on the last axis, or 1: the pooling of most
/// networks.
bool tiles_in_pairs(const Window& w) {
  return w.kernel == Triple{1, 2, 2} && w.stride == Triple{1, 2, 2} && w.dilation == Triple{1, 1, 1} &&
         w.pad_begin == Triple{0, 0, 0} && w.out[0] == w.in[0] && 2 * w.out[1] <= w.in[1] &&
         2 * w.out[2] <= w.in[2];
}

template <class T>
T divisor(const Window& w, bool count_padding, std::int64_t o0, std::int64_t o1, std::int64_t o2,
          const Reach& r0, const Reach& r1, const Reach& r2) {
  if (!count_padding) return static_cast<T>((r0.end - r0.begin) * (r1.end - r1.begin) * (r2.end - r2.begin));
  std::int64_t count = 1;
  const Triple o{o0, o1, o2};
  for (std::size_t i = 0; i < 3; ++i) {
    const Reach r = reach(w, i, o[i], -w.pad_begin[i], w.in[i] + w.pad_end[i]);
    count *= r.end - r.begin;
  }
  return static_cast<T>(count);
}

template <class T>
T window_divisor(const Window& w, bool count_padding, std::int64_t at, const Reach& r0, const Reach& r1,
                 const Reach& r2) {
  return divisor<T>(w, count_padding, at / w.out[2] / w.out[1], at / w.out[2] % w.out[1], at % w.out[2], r0,
                    r1, r2);
}

}  // namespace

template <class T>
void max_pool(const Window& window, std::int64_t planes, const T* x, T* y) {
  const bool pairs = tiles_in_pairs(window);
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    T* const out = y + plane * window.out_count();
    const auto larger = [](T a, T b) { return a > b || a != a ? a : b; };
    vectorised([&] {
      if (pairs) {
        for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
          const T* const top =
              in + (row / window.out[1] * window.in[1] + row % window.out[1] * 2) * window.in[2];
          const T* const low = top + window.in[2];
          T* const to = out + row * window.out[2];
          for (std::int64_t i = 0; i < window.out[2]; ++i)
            to[i] = larger(larger(top[2 * i], top[2 * i + 1]), larger(low[2 * i], low[2 * i + 1]));
        }
        return;
      }
      for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
        T best = -std::numeric_limits<T>::infinity();
        for_each_inside(window, r0, r1, r2, [&](std::int64_t i) { best = larger(best, in[i]); });
        out[at] = best;
      });
    });
  });
}

template <class T>
void max_pool_input_grad(const Window& window, std::int64_t planes, const T* x, const T* g, T* gx) {
  const bool pairs = tiles_in_pairs(window);
  parallel_each(planes, window.out_count() * window.taps() * 4, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    const T* const back = g + plane * window.out_count();
    T* const out = gx + plane * window.in_count();
    vectorised([&] {
      std::fill_n(out, window.in_count(), T(0));
      if (pairs) {
        for (std::int64_t row = 0; row < window.out[0] * window.out[1]; ++row) {
          const std::int64_t first =
              (row / window.out[1] * window.in[1] + row % window.out[1] * 2) * window.in[2];
          const T* const top = in + first;
          const T* const low = top + window.in[2];
          T* const to_top = out + first;
          T* const to_low = to_top + window.in[2];
          const T* const from = back + row * window.out[2];
          for (std::int64_t i = 0; i < window.out[2]; ++i) {
            const T a = top[2 * i], b = top[2 * i + 1], c = low[2 * i], d = low[2 * i + 1], value = from[i];
            const bool second = beats(b, a), fourth = beats(d, c);
            const T upper = second ? b : a, lower = fourth ? d : c;
            const bool below = beats(lower, upper);
            to_top[2 * i] = !below && !second ? value : T(0);
            to_top[2 * i + 1] = !below && second ? value : T(0);
            to_low[2 * i] = below && !fourth ? value : T(0);
            to_low[2 * i + 1] = below && fourth ? value : T(0);
          }
        }
        return;
      }
      for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
        const std::int64_t where = first_maximum(window, r0, r1, r2, in);
        if (where >= 0) out[where] += back[at];
      });
    });
  });
}

template <class T>
void max_pool_select(const Window& window, std::int64_t planes, const T* x, const T* t, T* y) {
  parallel_each(planes, window.out_count() * window.taps() * 4, [&](std::int64_t plane) {
    const std::int64_t shift = plane * window.in_count();
    for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
      const std::int64_t where = first_maximum(window, r0, r1, r2, x + shift);
      y[plane * window.out_count() + at] = where >= 0 ? t[shift + where] : T(0);
    });
  });
}

template <class T>
void avg_pool(const Window& window, bool count_padding, std::int64_t planes, const T* x, T* y) {
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    const T* const in = x + plane * window.in_count();
    vectorised([&] {
      for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
        double sum = 0;
        for_each_inside(window, r0, r1, r2, [&](std::int64_t i) { sum += static_cast<double>(in[i]); });
        const T count = window_divisor<T>(window, count_padding, at, r0, r1, r2);
        y[plane * window.out_count() + at] =
            count > T(0) ? static_cast<T>(sum / static_cast<double>(count)) : T(0);
      });
    });
  });
}

template <class T>
void avg_pool_input_grad(const Window& window, bool count_padding, std::int64_t planes, const T* g, T* gx) {
  parallel_each(planes, window.out_count() * window.taps() * 2, [&](std::int64_t plane) {
    T* const out = gx + plane * window.in_count();
    vectorised([&] {
      std::fill_n(out, window.in_count(), T(0));
      for_each_window(window, [&](std::int64_t at, const Reach& r0, const Reach& r1, const Reach& r2) {
        const T count = window_divisor<T>(window, count_padding, at, r0, r1, r2);
        if (!(count > T(0))) return;
        const T share = g[plane * window.out_count() + at] / count;
        for_each_inside(window, r0, r1, r2, [&](std::int64_t i) { out[i] += share; });
      });
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
