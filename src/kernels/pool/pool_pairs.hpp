#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/pool/pool_windows.hpp"

namespace rulegrad::kernels {

/// Windows that never leave the input, 2 wide and 2 apart on the last axes: the pooling of most networks.
/// Rows are often shorter than vectors are long, so several are put one behind the other first.
inline bool tiles_in_pairs(const Window& w) {
  return w.kernel == Triple{1, 2, 2} && w.stride == Triple{1, 2, 2} && w.dilation == Triple{1, 1, 1} &&
         w.pad_begin == Triple{0, 0, 0} && w.out[0] == w.in[0] && 2 * w.out[1] <= w.in[1] &&
         2 * w.out[2] <= w.in[2];
}

/// Choices are masks: of conditions the compiler would make branches, and no vectors.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
template <class T>
Bits<T> mask_of(bool condition) {
  return Bits<T>(0) - Bits<T>(condition);
}
template <class T>
T chosen(Bits<T> mask, T a, T b) {
  return std::bit_cast<T>((std::bit_cast<Bits<T>>(a) & mask) | (std::bit_cast<Bits<T>>(b) & ~mask));
}

/// NaN is larger than numbers.
template <class T>
T larger_of(T a, T b) {
  return chosen(mask_of<T>(a > b) | mask_of<T>(a != a), a, b);
}

/// Room for rows that are put one behind the other.
inline constexpr std::int64_t joined_extent = 512;

/// Calls f(row, count, top) for groups of output rows: `top` is the first input row that they meet.
template <class F>
void for_joined_rows(const Window& w, F&& f) {
  const std::int64_t most =
      std::max<std::int64_t>(1, joined_extent / std::max<std::int64_t>(1, 2 * w.out[2]));
  for (std::int64_t plane = 0; plane < w.out[0]; ++plane)
    for (std::int64_t row = 0; row < w.out[1]; row += most)
      f(plane * w.out[1] + row, std::min(most, w.out[1] - row), (plane * w.in[1] + 2 * row) * w.in[2]);
}

template <class T>
void max_of_pairs(const Window& w, const T* x, T* y) {
  const std::int64_t width = 2 * w.out[2];
  T joined[joined_extent];
  for_joined_rows(w, [&](std::int64_t row, std::int64_t count, std::int64_t top) {
    T* const to = y + row * w.out[2];
    if (width > joined_extent) {
      const T *const a = x + top, *const b = a + w.in[2];
      for (std::int64_t i = 0; i < w.out[2]; ++i)
        to[i] = larger_of(larger_of(a[2 * i], a[2 * i + 1]), larger_of(b[2 * i], b[2 * i + 1]));
      return;
    }
    for (std::int64_t r = 0; r < count; ++r) {
      const T *const a = x + top + 2 * r * w.in[2], *const b = a + w.in[2];
      T* const larger = joined + r * width;
      for (std::int64_t i = 0; i < width; ++i) larger[i] = larger_of(a[i], b[i]);
    }
    for (std::int64_t i = 0; i < count * w.out[2]; ++i) to[i] = larger_of(joined[2 * i], joined[2 * i + 1]);
  });
}

/// A value for each pair of columns of two rows goes to the first maximum of the four; the others get 0.
template <class T>
void give_to_first_maxima(std::int64_t count, const T* __restrict top, const T* __restrict low,
                          const T* __restrict from, T* __restrict to_top, T* __restrict to_low) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const T a = top[2 * i], b = top[2 * i + 1], c = low[2 * i], d = low[2 * i + 1];
    const Bits<T> second = mask_of<T>(beats(b, a)), fourth = mask_of<T>(beats(d, c));
    const Bits<T> below = mask_of<T>(beats(chosen(fourth, d, c), chosen(second, b, a))),
                  value = std::bit_cast<Bits<T>>(from[i]);
    to_top[2 * i] = std::bit_cast<T>(value & ~below & ~second);
    to_top[2 * i + 1] = std::bit_cast<T>(value & ~below & second);
    to_low[2 * i] = std::bit_cast<T>(value & below & ~fourth);
    to_low[2 * i + 1] = std::bit_cast<T>(value & below & fourth);
  }
}

/// What windows do not reach keeps its value.
template <class T>
void give_to_pairs(const Window& w, const T* x, const T* g, T* gx) {
  const std::int64_t width = 2 * w.out[2], in = w.in[2];
  T top_rows[joined_extent], low_rows[joined_extent], to_top[joined_extent], to_low[joined_extent];
  for_joined_rows(w, [&](std::int64_t row, std::int64_t count, std::int64_t top) {
    const T* const from = g + row * w.out[2];
    if (count == 1)
      return give_to_first_maxima(w.out[2], x + top, x + top + in, from, gx + top, gx + top + in);
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(x + top + 2 * r * in, width, top_rows + r * width);
      std::copy_n(x + top + (2 * r + 1) * in, width, low_rows + r * width);
    }
    give_to_first_maxima(count * w.out[2], top_rows, low_rows, from, to_top, to_low);
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(to_top + r * width, width, gx + top + 2 * r * in);
      std::copy_n(to_low + r * width, width, gx + top + (2 * r + 1) * in);
    }
  });
}

}  // namespace rulegrad::kernels
