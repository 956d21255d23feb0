#include "runtime/kernels/portable/conv_panels.hpp"

#include <array>

#include "runtime/kernels/portable/isa.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t kMaxPanel = 64;

struct Run {
  std::int64_t first, length, source;  // source: of the innermost row, without the innermost coordinate
  Triple at;                           // t * step
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

bool inside(std::int64_t i, std::int64_t extent) {
  return i >= 0 && i < extent;
}

}  // namespace

template <class T>
void pack_positions(const Grid& grid, const T* x, std::int64_t row0, std::int64_t row1, std::int64_t begin,
                    std::int64_t end, std::int64_t width, T* panel) {
  std::array<Run, kMaxPanel> runs;
  std::size_t run_count = 0;
  for_each_run(
      grid, begin, end, [&](std::int64_t first, std::int64_t length, std::int64_t n, const Triple& t) {
        const Triple at{t[0] * grid.step[0], t[1] * grid.step[1], t[2] * grid.step[2]};
        runs[run_count++] = {first, length,
                             n * grid.batch_stride + (at[0] * grid.extent[1] + at[1]) * grid.extent[2], at};
      });
  const auto taps = static_cast<std::int64_t>(grid.taps.size());
  const std::int64_t used = end - begin, step = grid.step[2], extent = grid.extent[2];
  vectorised([&] {
    std::int64_t channel = row0 / taps, tap = row0 % taps;
    for (std::int64_t row = row0; row < row1; ++row, panel += width) {
      const Triple& d = grid.taps[static_cast<std::size_t>(tap)];
      const T* const source = x + channel * grid.channel_stride + (d[0] * grid.extent[1] + d[1]) * extent;
      for (std::size_t r = 0; r < run_count; ++r) {
        const Run& run = runs[r];
        T* const out = panel + run.first;
        std::int64_t from = 0, to = 0;
        const std::int64_t start = run.at[2] + d[2];
        if (inside(run.at[0] + d[0], grid.extent[0]) && inside(run.at[1] + d[1], grid.extent[1])) {
          if (step == 1) {
            from = std::clamp<std::int64_t>(-start, 0, run.length);
            to = std::clamp<std::int64_t>(extent - start, from, run.length);
          } else {
            from = std::clamp<std::int64_t>(ceil_div(-start, step), 0, run.length);
            to = std::clamp<std::int64_t>(ceil_div(extent - start, step), from, run.length);
          }
        }
        for (std::int64_t i = 0; i < from; ++i) out[i] = T(0);
        const T* const in = source + run.source + start;
        if (step == 1)
          for (std::int64_t i = from; i < to; ++i) out[i] = in[i];
        else
          for (std::int64_t i = from; i < to; ++i) out[i] = in[i * step];
        for (std::int64_t i = to; i < run.length; ++i) out[i] = T(0);
      }
      for (std::int64_t i = used; i < width; ++i) panel[i] = T(0);
      if (++tap == taps) {
        tap = 0;
        ++channel;
      }
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
