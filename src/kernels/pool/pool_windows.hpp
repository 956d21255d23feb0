#pragma once

#include <algorithm>
#include <vector>

#include "kernels/move/window.hpp"

/// Which positions each pooling window reads.
namespace rulegrad::kernels {

/// The kernel positions [begin, end) of one window along one axis that lie inside [low, high) of the input.
struct Reach {
  std::int64_t begin, end, first;  // first: the input position of kernel position 0
};

inline Reach reach(const Window& w, std::size_t axis, std::int64_t o, std::int64_t low, std::int64_t high) {
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

/// Calls f(row, begin, end, step) for the kernel positions of the windows of output row (o0, o1), in
/// row-major order: window i in [begin, end) reads input position row + i * step.
template <class F>
void for_each_tap(const Window& w, std::int64_t o0, std::int64_t o1, F&& f) {
  const Reach r0 = reach(w, 0, o0, 0, w.in[0]), r1 = reach(w, 1, o1, 0, w.in[1]);
  for (std::int64_t k0 = r0.begin; k0 < r0.end; ++k0)
    for (std::int64_t k1 = r1.begin; k1 < r1.end; ++k1)
      for (std::int64_t k2 = 0; k2 < w.kernel[2]; ++k2) {
        const std::int64_t shift = k2 * w.dilation[2] - w.pad_begin[2], step = w.stride[2];
        const std::int64_t begin = shift >= 0 ? 0 : (-shift + step - 1) / step;
        const std::int64_t end =
            shift >= w.in[2] ? 0 : std::min(w.out[2], (w.in[2] - shift + step - 1) / step);
        const std::int64_t row =
            ((r0.first + k0 * w.dilation[0]) * w.in[1] + r1.first + k1 * w.dilation[1]) * w.in[2];
        if (begin < end) f(row + shift, begin, end, step);
      }
}

/// A NaN beats numbers, and the first of two NaN stays. No branches: loops over it are vectorised.
template <class T>
bool beats(T a, T best) {
  return (a > best) | ((a != a) & (best == best));
}

/// What each window of a plane divides by.
template <class T>
std::vector<T> divisors(const Window& w, bool count_padding) {
  std::vector<T> counts[3];
  for (std::size_t axis = 0; axis < 3; ++axis)
    for (std::int64_t o = 0; o < w.out[axis]; ++o) {
      const Reach r = count_padding ? reach(w, axis, o, -w.pad_begin[axis], w.in[axis] + w.pad_end[axis])
                                    : reach(w, axis, o, 0, w.in[axis]);
      counts[axis].push_back(static_cast<T>(r.end - r.begin));
    }
  std::vector<T> all;
  for (const T a : counts[0])
    for (const T b : counts[1])
      for (const T c : counts[2]) all.push_back(a * b * c);
  return all;
}

inline constexpr std::int64_t short_sum = 64;  // terms that a sum in T itself takes without losing digits

}  // namespace rulegrad::kernels
