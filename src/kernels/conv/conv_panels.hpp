#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/move/window.hpp"

namespace rulegrad::kernels {

/// a / b, rounded up; a may be negative.
inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

inline bool inside(std::int64_t i, std::int64_t extent) {
  return i >= 0 && i < extent;
}

/// A regular grid of positions over an array [batch, channels, extent...]: position (n, t) with tap offset d
/// reads t * step + d. Convolutions in both directions are products with such grids.
struct Grid {
  std::int64_t batch = 1;
  Triple positions{1, 1, 1};  ///< t
  Triple step{1, 1, 1};
  Triple extent{1, 1, 1};
  std::int64_t batch_stride = 0, channel_stride = 0;
  std::vector<Triple> taps;  ///< d

  [[nodiscard]] std::int64_t positions_per_image() const {
    return positions[0] * positions[1] * positions[2];
  }
};

/// Where the positions of a grid go in an output [batch, channels, extent...]: position t to t * step +
/// origin.
struct Target {
  Triple step{1, 1, 1}, origin{0, 0, 0}, extent{1, 1, 1};
  std::int64_t batch_stride = 0, channel_stride = 0;

  /// Relative to a channel.
  [[nodiscard]] std::int64_t at(std::int64_t n, const Triple& t) const {
    return n * batch_stride +
           ((t[0] * step[0] + origin[0]) * extent[1] + t[1] * step[1] + origin[1]) * extent[2] +
           t[2] * step[2] + origin[2];
  }
};

/// Calls f(first, length, n, t) for the pieces of the flat positions [begin, end) that lie in one innermost
/// row.
template <class F>
void for_each_run(const Grid& grid, std::int64_t begin, std::int64_t end, F&& f) {
  const auto [p0, p1, p2] = grid.positions;
  std::int64_t at = begin;
  Triple t{at / p2 / p1 % p0, at / p2 % p1, at % p2};
  std::int64_t n = at / p2 / p1 / p0;
  while (at < end) {
    const std::int64_t length = std::min(end - at, p2 - t[2]);
    f(at - begin, length, n, t);
    at += length;
    t[2] = 0;
    if (++t[1] == p1) {
      t[1] = 0;
      if (++t[0] == p0) {
        t[0] = 0;
        ++n;
      }
    }
  }
}

/// Rows [row0, row1) of the matrix [(channel, tap), position] at positions [begin, end): the im2col panel of
/// a product. `x` is the first channel of the first image. Rows are `width` values; those past the end are
/// zeros.
template <class T>
void pack_positions(const Grid& grid, const T* x, std::int64_t row0, std::int64_t row1, std::int64_t begin,
                    std::int64_t end, std::int64_t width, T* panel);

/// Rows [begin, end) of the transposed matrix [position, (channel, tap)] at columns [col0, col1), of image
/// `n`.
template <class T>
void pack_taps(const Grid& grid, const T* x, std::int64_t n, std::int64_t begin, std::int64_t end,
               std::int64_t col0, std::int64_t col1, std::int64_t width, T* panel);

}  // namespace rulegrad::kernels
