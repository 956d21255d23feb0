#include "kernels/conv/conv.hpp"

#include <algorithm>
#include <vector>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/conv/conv_depthwise.hpp"
#include "kernels/conv/conv_direct.hpp"
#include "kernels/conv/conv_panels.hpp"
#include "kernels/conv/conv_phases.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/product/tiled_product.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 2.9 times as long (LeNet, lrp.epsilon_plus_flat, batch 8): benchmarks/kernel_worth.
const KernelPath tiles_path("conv: tiles");
// Without it an analysis takes 1.6 times as long (MobileNet, lrp.epsilon_plus_flat, batch 4): benchmarks/kernel_worth.
const KernelPath depthwise_path("conv: depthwise");
// Without it an analysis takes 1.33 times as long (MobileNet, lrp.epsilon_plus_flat, batch 4): benchmarks/kernel_worth.
const KernelPath depthwise_input_path("conv input: depthwise");
// Stays: weight gradients are training, which no analysis does; its sums run row by row and lose fewer digits.
const KernelPath depthwise_weight_path("conv weights: depthwise");
// Without it an analysis takes 2.9 times as long (LeNet, lrp.alpha_2_beta_1, batch 8): benchmarks/kernel_worth.
const KernelPath direct_path("conv: direct");
// Without it an analysis takes 3.6 times as long (LeNet, gradient, batch 1): benchmarks/kernel_worth.
const KernelPath phases_path("conv input: phases of strides");
// Stays: sums over all positions are cut so that threads share them and digits are kept; no analysis takes it.
const KernelPath pieces_path("conv weights: pieces of a long sum");
// Stays: what the pieces above are when there is one.
const KernelPath whole_path("conv weights: one sum");

std::vector<Triple> taps_of(const Window& w) {
  std::vector<Triple> taps;
  for (std::int64_t k0 = 0; k0 < w.kernel[0]; ++k0)
    for (std::int64_t k1 = 0; k1 < w.kernel[1]; ++k1)
      for (std::int64_t k2 = 0; k2 < w.kernel[2]; ++k2)
        taps.push_back({k0 * w.dilation[0] - w.pad_begin[0], k1 * w.dilation[1] - w.pad_begin[1],
                        k2 * w.dilation[2] - w.pad_begin[2]});
  return taps;
}

/// The grid of windows over x.
Grid window_grid(const ConvGeometry& geometry) {
  const Window& w = geometry.window;
  Grid grid{geometry.batch, w.out,     w.stride, w.in, geometry.in_channels * w.in_count(),
            w.in_count(),   taps_of(w)};
  const bool pointwise =
      w.taps() == 1 && w.stride == Triple{1, 1, 1} && w.in == w.out && w.pad_begin == Triple{0, 0, 0};
  if (pointwise) grid.positions = grid.extent = {1, 1, w.in_count()};
  return grid;
}

template <class T>
void store_positions(const Grid& grid, const Target& target, std::int64_t row0, std::int64_t row1,
                     std::int64_t col0, std::int64_t col1, const T* tile, std::int64_t stride,
                     std::span<const T> bias, T* out) {
  vectorised([&] {
    for_each_run(grid, col0, col1,
                 [&](std::int64_t first, std::int64_t length, std::int64_t n, const Triple& t) {
                   const std::int64_t at = target.at(n, t);
                   for (std::int64_t row = row0; row < row1; ++row) {
                     const T offset = bias.empty() ? T(0) : bias[static_cast<std::size_t>(row)];
                     const T* const from = tile + (row - row0) * stride + first;
                     T* const to = out + row * target.channel_stride + at;
                     if (target.step[2] == 1)
                       for (std::int64_t i = 0; i < length; ++i) to[i] = from[i] + offset;
                     else
                       for (std::int64_t i = 0; i < length; ++i) to[i * target.step[2]] = from[i] + offset;
                   }
                 });
  });
}

/// out[n, group rows, positions] = left[group] x matrix of (channels of the group, taps).
template <class T>
void grid_product(const Grid& grid, const Target& target, std::int64_t groups, std::int64_t rows,
                  std::int64_t channels, const T* left, const T* x, std::span<const T> bias, T* out) {
  if (direct_path.open() && is_direct<T>(grid, rows, channels)) {
    direct_path.taken();
    return direct_product(grid, target, groups, rows, channels, left, x, bias, out);
  }
  tiles_path.taken();
  const std::int64_t depth = channels * static_cast<std::int64_t>(grid.taps.size());
  const ProductExtents extents{groups, rows, grid.batch * grid.positions_per_image(), depth, 1};
  tiled_product<T>(
      extents, {depth}, [&](std::int64_t group, std::int64_t) { return left + group * rows * depth; },
      [&](std::int64_t group, std::int64_t, std::int64_t p0, std::int64_t p1, std::int64_t c0,
          std::int64_t c1, std::int64_t width, T* panel) {
        pack_positions(grid, x + group * channels * grid.channel_stride, p0, p1, c0, c1, width, panel);
      },
      [&](std::int64_t group, std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1,
          const T* tile, std::int64_t stride) {
        store_positions(grid, target, r0, r1, c0, c1, tile, stride,
                        bias.empty() ? bias : bias.subspan(static_cast<std::size_t>(group * rows)),
                        out + group * rows * target.channel_stride);
      });
}

/// left[group, c, (o, t)] = w[group, o, c, kept[t]]: in blocks of channels on both sides, so that neither
/// reads nor writes jump over whole filters all the time.
template <class T>
void regroup_weights(std::int64_t groups, std::int64_t rows, std::int64_t channels, std::int64_t kernel_taps,
                     const std::vector<std::int64_t>& kept, const T* w, T* left) {
  constexpr std::int64_t block = 16;
  const auto taps = static_cast<std::int64_t>(kept.size());
  const std::int64_t bands = (rows + block - 1) / block;
  parallel_each(groups * bands, block * channels * taps, [&](std::int64_t task) {
    const std::int64_t group = task / bands, c0 = task % bands * block, c1 = std::min(rows, c0 + block);
    for (std::int64_t o0 = 0; o0 < channels; o0 += block)
      for (std::int64_t o = o0; o < std::min(channels, o0 + block); ++o)
        for (std::int64_t c = c0; c < c1; ++c) {
          const T* const from = w + ((group * channels + o) * rows + c) * kernel_taps;
          T* const to = left + ((group * rows + c) * channels + o) * taps;
          if (taps == kernel_taps)
            for (std::int64_t t = 0; t < taps; ++t) to[t] = from[t];  // all are kept, in order
          else
            for (std::int64_t t = 0; t < taps; ++t) to[t] = from[kept[static_cast<std::size_t>(t)]];
        }
  });
}

std::int64_t weight_count(const ConvGeometry& g) {
  return g.out_channels * (g.in_channels / g.groups) * g.window.taps();
}

/// Pieces into which conv_weight_grad cuts a long sum over positions that has too few results to share out.
std::int64_t position_pieces(const ConvGeometry& g) {
  const std::int64_t positions = g.window.out_count();
  return !pieces_path.open() || weight_count(g) > 65536 ? 1
                                                        : std::clamp<std::int64_t>(positions / 1024, 1, 16);
}

}  // namespace

template <class T>
void conv(const ConvGeometry& geometry, const T* x, const T* w, std::span<const T> bias, T* y) {
  if (depthwise_path.open() && is_depthwise(geometry)) {
    depthwise_path.taken();
    return depthwise(geometry, x, w, bias, y);
  }
  const Grid grid = window_grid(geometry);
  const Target target{{1, 1, 1},
                      {0, 0, 0},
                      grid.positions,
                      geometry.out_channels * geometry.window.out_count(),
                      geometry.window.out_count()};
  grid_product(grid, target, geometry.groups, geometry.out_channels / geometry.groups,
               geometry.in_channels / geometry.groups, w, x, bias, y);
}

template <class T>
std::size_t conv_input_grad_scratch_bytes(const ConvGeometry& geometry) {
  if (depthwise_input_path.open() && is_depthwise(geometry)) return 0;
  return static_cast<std::size_t>(weight_count(geometry)) * sizeof(T) + alignof(T);
}

template <class T>
void conv_input_grad(const ConvGeometry& geometry, const T* g, const T* w, std::span<const T> bias, T* gx,
                     std::span<std::byte> scratch) {
  if (depthwise_input_path.open() && is_depthwise(geometry)) {
    depthwise_input_path.taken();
    return depthwise_input_grad(geometry, g, w, bias, gx);
  }
  const Window& window = geometry.window;
  const std::int64_t groups = geometry.groups, rows = geometry.in_channels / groups;
  const std::int64_t channels = geometry.out_channels / groups, kernel_taps = window.taps();
  T* const left = scratch_values<T>(scratch, static_cast<std::size_t>(weight_count(geometry)));
  const std::vector<Phase> phases[3] = {phases_of(window, 0), phases_of(window, 1), phases_of(window, 2)};

  phases_path.taken();
  // Input positions of one phase of the strides form a dense stride-1 product with the kernel positions they
  // meet.
  for (const Phase& a : phases[0])
    for (const Phase& b : phases[1])
      for (const Phase& c : phases[2]) {
        Grid grid{geometry.batch,
                  {a.count, b.count, c.count},
                  {1, 1, 1},
                  window.out,
                  geometry.out_channels * window.out_count(),
                  window.out_count(),
                  {}};
        std::vector<std::int64_t> kept;
        for (std::size_t i = 0; i < a.kernel.size(); ++i)
          for (std::size_t j = 0; j < b.kernel.size(); ++j)
            for (std::size_t k = 0; k < c.kernel.size(); ++k) {
              grid.taps.push_back({a.shift[i], b.shift[j], c.shift[k]});
              kept.push_back((a.kernel[i] * window.kernel[1] + b.kernel[j]) * window.kernel[2] + c.kernel[k]);
            }
        const bool pointwise =
            grid.taps.size() == 1 && grid.positions == grid.extent && grid.taps[0] == Triple{0, 0, 0};
        Target target{window.stride,
                      {a.first, b.first, c.first},
                      window.in,
                      geometry.in_channels * window.in_count(),
                      window.in_count()};
        if (pointwise && window.stride == Triple{1, 1, 1}) {
          grid.positions = grid.extent = {1, 1, window.out_count()};
          target.extent = grid.extent;
        }
        regroup_weights(groups, rows, channels, kernel_taps, kept, w, left);
        grid_product<T>(grid, target, groups, rows, channels, left, g, bias, gx);
      }
}

template <class T>
std::size_t conv_weight_grad_scratch_bytes(const ConvGeometry& geometry) {
  const bool one = depthwise_weight_path.open() && is_depthwise(geometry);
  const std::int64_t pieces = one ? 1 : position_pieces(geometry);
  return pieces == 1 ? 0 : static_cast<std::size_t>(pieces * weight_count(geometry)) * sizeof(T) + alignof(T);
}

template <class T>
void conv_weight_grad(const ConvGeometry& geometry, const T* x, const T* g, T* gw,
                      std::span<std::byte> scratch) {
  if (depthwise_weight_path.open() && is_depthwise(geometry)) {
    depthwise_weight_path.taken();
    return depthwise_weight_grad(geometry, x, g, gw);
  }
  const Grid grid = window_grid(geometry);
  const std::int64_t groups = geometry.groups, rows = geometry.out_channels / groups;
  const std::int64_t channels = geometry.in_channels / groups, positions = geometry.window.out_count();
  const std::int64_t cols = channels * static_cast<std::int64_t>(grid.taps.size());
  const std::int64_t pieces = position_pieces(geometry), total = weight_count(geometry);
  T* const parts = pieces == 1 ? gw : scratch_values<T>(scratch, static_cast<std::size_t>(pieces * total));
  const std::int64_t piece = (positions + pieces - 1) / pieces;
  (pieces == 1 ? whole_path : pieces_path).taken();

  // The pieces are one batch of products; the last one may be shorter and is then a batch of its own.
  const auto products = [&](std::int64_t first_piece, std::int64_t count, std::int64_t depth) {
    tiled_product<T>(
        ProductExtents{count * groups, rows, cols, depth, geometry.batch}, {positions},
        [&](std::int64_t product, std::int64_t n) {
          const std::int64_t group = product % groups, start = (first_piece + product / groups) * piece;
          return g + (n * geometry.out_channels + group * rows) * positions + start;
        },
        [&](std::int64_t product, std::int64_t n, std::int64_t p0, std::int64_t p1, std::int64_t c0,
            std::int64_t c1, std::int64_t width, T* panel) {
          const std::int64_t group = product % groups, start = (first_piece + product / groups) * piece;
          pack_taps(grid, x + group * channels * grid.channel_stride, n, start + p0, start + p1, c0, c1,
                    width, panel);
        },
        [&](std::int64_t product, std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1,
            const T* tile, std::int64_t stride) {
          T* const out = parts + (first_piece + product / groups) * total + product % groups * rows * cols;
          for (std::int64_t r = r0; r < r1; ++r)
            std::copy_n(tile + (r - r0) * stride, c1 - c0, out + r * cols + c0);
        });
  };
  const std::int64_t whole = positions / piece, rest = positions % piece;
  products(0, whole, piece);
  if (rest > 0) products(whole, 1, rest);
  if (pieces == 1) return;
  const std::int64_t used = whole + (rest > 0 ? 1 : 0);
  parallel_chunks(total, grain_size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T sum = parts[i];
      for (std::int64_t p = 1; p < used; ++p) sum += parts[p * total + i];
      gw[i] = sum;
    }
  });
}

template void conv(const ConvGeometry&, const float*, const float*, std::span<const float>, float*);
template void conv(const ConvGeometry&, const double*, const double*, std::span<const double>, double*);
template void conv_input_grad(const ConvGeometry&, const float*, const float*, std::span<const float>, float*,
                              std::span<std::byte>);
template void conv_input_grad(const ConvGeometry&, const double*, const double*, std::span<const double>,
                              double*, std::span<std::byte>);
template std::size_t conv_input_grad_scratch_bytes<float>(const ConvGeometry&);
template std::size_t conv_input_grad_scratch_bytes<double>(const ConvGeometry&);
template void conv_weight_grad(const ConvGeometry&, const float*, const float*, float*, std::span<std::byte>);
template void conv_weight_grad(const ConvGeometry&, const double*, const double*, double*,
                               std::span<std::byte>);
template std::size_t conv_weight_grad_scratch_bytes<float>(const ConvGeometry&);
template std::size_t conv_weight_grad_scratch_bytes<double>(const ConvGeometry&);

}  // namespace rulegrad::kernels
