#include "kernels/conv/conv_panels.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/common/isa.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t max_panel = 64;

struct Run {
  std::int64_t first, length, source;  // source: of the innermost row, without the innermost coordinate
  Triple at;                           // t * step
};

/// A run without its padding: `length` values from `source` on, relative to a channel.
struct Piece {
  std::int64_t first, length, source;
};

/// Copies few values in blocks of a fixed size, the last two overlapping: no call, no loop over single
/// values.
template <std::int64_t block, class T>
void copy_blocks(std::int64_t length, const T* in, T* out) {
  for (std::int64_t i = 0; i + block <= length; i += block) std::memcpy(out + i, in + i, block * sizeof(T));
  std::memcpy(out + length - block, in + length - block, block * sizeof(T));
}

template <class T>
void copy_few(std::int64_t length, const T* in, T* out) {
  if (length >= 16) return copy_blocks<16>(length, in, out);
  if (length >= 8) return copy_blocks<8>(length, in, out);
  if (length >= 4) return copy_blocks<4>(length, in, out);
  for (std::int64_t i = 0; i < length; ++i) out[i] = in[i];
}

/// Calls f(channel, row of the panel) for the rows [row0, row1) of one tap.
template <class F>
void for_each_channel(std::int64_t tap, std::int64_t taps, std::int64_t row0, std::int64_t row1, F&& f) {
  std::int64_t channel = row0 / taps + (row0 % taps > tap ? 1 : 0);
  for (std::int64_t row = channel * taps + tap; row < row1; row += taps, ++channel) f(channel, row - row0);
}

}  // namespace

template <class T>
void pack_positions(const Grid& grid, const T* x, std::int64_t row0, std::int64_t row1, std::int64_t begin,
                    std::int64_t end, std::int64_t width, T* panel) {
  std::array<Run, max_panel> runs;
  std::size_t run_count = 0;
  for_each_run(
      grid, begin, end, [&](std::int64_t first, std::int64_t length, std::int64_t n, const Triple& t) {
        const Triple at{t[0] * grid.step[0], t[1] * grid.step[1], t[2] * grid.step[2]};
        runs[run_count++] = {first, length,
                             n * grid.batch_stride + (at[0] * grid.extent[1] + at[1]) * grid.extent[2], at};
      });
  const auto taps = static_cast<std::int64_t>(grid.taps.size());
  const std::int64_t used = end - begin, step = grid.step[2], extent = grid.extent[2];
  // Whole rows of the image are copied in pieces; short or strided ones value by value.
  const bool scattered = step != 1 || used < 6 * static_cast<std::int64_t>(run_count);
  vectorised([&] {
    for (std::int64_t tap = 0; tap < std::min(taps, row1); ++tap) {
      const Triple& d = grid.taps[static_cast<std::size_t>(tap)];
      std::array<Piece, max_panel> pieces;
      std::size_t count = 0;
      std::int64_t covered = 0;
      for (std::size_t r = 0; r < run_count; ++r) {
        const Run& run = runs[r];
        const std::int64_t start = run.at[2] + d[2];
        if (!inside(run.at[0] + d[0], grid.extent[0]) || !inside(run.at[1] + d[1], grid.extent[1])) continue;
        const std::int64_t from = std::clamp<std::int64_t>(ceil_div(-start, step), 0, run.length);
        const std::int64_t to = std::clamp<std::int64_t>(ceil_div(extent - start, step), from, run.length);
        if (from == to) continue;
        const std::int64_t source =
            run.source + (d[0] * grid.extent[1] + d[1]) * extent + start + from * step;
        pieces[count++] = {run.first + from, to - from, source};
        covered += to - from;
      }
      std::array<std::int64_t, max_panel> from_piece;  // of each column, relative to `base`; -1 is padding
      const std::int64_t base = count > 0 ? pieces[0].source : 0;
      if (scattered) {
        from_piece.fill(-1);
        for (std::size_t k = 0; k < count; ++k)
          for (std::int64_t i = 0; i < pieces[k].length; ++i)
            from_piece[static_cast<std::size_t>(pieces[k].first + i)] = pieces[k].source - base + i * step;
      }
      for_each_channel(tap, taps, row0, row1, [&](std::int64_t channel, std::int64_t row) {
        const T* const source = x + channel * grid.channel_stride;
        T* const out = panel + row * width;
        if (scattered) {
          const T* const in = source + base;
          for (std::int64_t i = 0; i < width; ++i) {
            const std::int64_t at = from_piece[static_cast<std::size_t>(i)];
            out[i] = at >= 0 ? in[at] : T(0);
          }
          return;
        }
        if (covered < width)
          for (std::int64_t i = 0; i < width; ++i) out[i] = T(0);
        for (std::size_t k = 0; k < count; ++k)
          copy_few(pieces[k].length, source + pieces[k].source, out + pieces[k].first);
      });
    }
  });
}

template <class T>
void pack_taps(const Grid& grid, const T* x, std::int64_t n, std::int64_t begin, std::int64_t end,
               std::int64_t col0, std::int64_t col1, std::int64_t width, T* panel) {
  const auto taps = static_cast<std::int64_t>(grid.taps.size());
  for (std::int64_t p = 0; p < end - begin; ++p)
    for (std::int64_t j = col1 - col0; j < width; ++j) panel[p * width + j] = T(0);
  for_each_run(grid, begin, end, [&](std::int64_t first, std::int64_t length, std::int64_t, const Triple& t) {
    for (std::int64_t col = col0; col < col1; ++col) {
      const Triple& d = grid.taps[static_cast<std::size_t>(col % taps)];
      const std::int64_t i0 = t[0] * grid.step[0] + d[0], i1 = t[1] * grid.step[1] + d[1];
      T* const out = panel + first * width + (col - col0);
      if (!inside(i0, grid.extent[0]) || !inside(i1, grid.extent[1])) {
        for (std::int64_t i = 0; i < length; ++i) out[i * width] = T(0);
        continue;
      }
      const T* const row = x + n * grid.batch_stride + col / taps * grid.channel_stride +
                           (i0 * grid.extent[1] + i1) * grid.extent[2];
      for (std::int64_t i = 0; i < length; ++i) {
        const std::int64_t i2 = (t[2] + i) * grid.step[2] + d[2];
        out[i * width] = inside(i2, grid.extent[2]) ? row[i2] : T(0);
      }
    }
  });
}

template void pack_positions(const Grid&, const float*, std::int64_t, std::int64_t, std::int64_t,
                             std::int64_t, std::int64_t, float*);
template void pack_positions(const Grid&, const double*, std::int64_t, std::int64_t, std::int64_t,
                             std::int64_t, std::int64_t, double*);
template void pack_taps(const Grid&, const float*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                        std::int64_t, std::int64_t, float*);
template void pack_taps(const Grid&, const double*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                        std::int64_t, std::int64_t, double*);

}  // namespace rulegrad::kernels
