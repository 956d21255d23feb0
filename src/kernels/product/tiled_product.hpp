#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/common/parallel.hpp"
#include "kernels/common/scratch.hpp"
#include "kernels/product/micro_kernel.hpp"

namespace rulegrad::kernels {

/// The extents of `count` independent matrix products [rows, depth] x [depth, cols]. The depth is the
/// concatenation of `segments` pieces of `depth` each.
struct ProductExtents {
  std::int64_t count = 1, rows = 0, cols = 0, depth = 0, segments = 1;
};

/// How a product is cut into tiles for threads and caches. Results do not depend on it.
struct Tiling {
  std::int64_t rows, cols;
};

/// Depth that one pass of the micro kernel sums before it adds to the result: keeps rounding errors short.
inline constexpr std::int64_t depth_block = 256;

/// The tiling that an estimate of the longest thread's cycles likes best.
inline Tiling choose_tiling(const ProductExtents& e, std::int64_t panel, std::int64_t lanes, int threads) {
  Tiling best{std::min<std::int64_t>(e.rows, 256), panel};
  double best_cost = -1;
  for (const std::int64_t rows : {256, 192, 128, 96, 64, 32, 16, 8}) {
    if (rows > 8 && rows / 2 >= e.rows) continue;
    for (const std::int64_t panels : {4, 3, 2, 1}) {
      const std::int64_t cols = panels * panel;
      if (panels > 1 && cols - panel >= e.cols) continue;
      const std::int64_t tasks = e.count * ((e.rows + rows - 1) / rows) * ((e.cols + cols - 1) / cols);
      const auto tile_rows = static_cast<double>(std::min(rows, e.rows));
      const auto tile_cols = static_cast<double>(std::min(cols, (e.cols + lanes - 1) / lanes * lanes));
      // Cycles for a unit of depth: multiply-adds, packing the right operand, streaming the left one.
      const double task =
          tile_rows * tile_cols / (2.0 * static_cast<double>(lanes)) + 0.5 * tile_cols + 0.3 * tile_rows;
      const double cost = static_cast<double>((tasks + threads - 1) / threads) * task;
      if (best_cost < 0 || cost < best_cost) {
        best_cost = cost;
        best = {rows, cols};
      }
    }
  }
  return best;
}

/// How the left operand lies: what leads to the next row and to the next step of the depth. A transposed one is read
/// where it lies too: what a micro kernel takes of it at a step is one cache line.
struct LeftStrides {
  std::int64_t row, step = 1;
};

/// Products whose right operand is made on the fly, a panel at a time, so that an im2col matrix never exists.
///   left(product, segment): pointer to the first element of the piece [rows, depth]
///   pack(product, segment, p0, p1, col0, col1, width, panel): writes rows [p0, p1) x columns [col0, col1) of
///   the
///     right operand as rows of `width` >= col1 - col0 values, the rest zeros
///   store(product, row0, row1, col0, col1, tile, stride): takes a finished tile
/// Every element is summed over the depth in the same order whatever the tiling and the number of threads.
template <class T, class Left, class Pack, class Store>
void tiled_product(const ProductExtents& e, LeftStrides strides, Left&& left, Pack&& pack, Store&& store) {
  if (e.count * e.rows * e.cols == 0) return;
  const MicroKernels<T>& kernels = micro_kernels<T>();
  const std::int64_t lanes = kernels.lanes, panel = kernels.panel();
  const int threads = thread_count();
  const Tiling tiling = choose_tiling(e, panel, lanes, threads);
  const std::int64_t row_tiles = (e.rows + tiling.rows - 1) / tiling.rows;
  const std::int64_t col_tiles = (e.cols + tiling.cols - 1) / tiling.cols;
  const std::int64_t tasks = e.count * row_tiles * col_tiles;
  const auto panel_values = static_cast<std::size_t>(depth_block * panel);
  const auto tile_values = static_cast<std::size_t>(tiling.rows * tiling.cols);

  const auto run = [&](std::int64_t task) {
    const std::int64_t product = task / (row_tiles * col_tiles);
    const std::int64_t row0 = task % row_tiles * tiling.rows, row1 = std::min(e.rows, row0 + tiling.rows);
    const std::int64_t col0 = task / row_tiles % col_tiles * tiling.cols,
                       col1 = std::min(e.cols, col0 + tiling.cols);
    T* const right = reinterpret_cast<T*>(thread_scratch((panel_values + tile_values) * sizeof(T)));
    T* const tile = right + panel_values;
    if (e.depth * e.segments == 0) std::fill_n(tile, tile_values, T(0));
    for (std::int64_t segment = 0; segment < e.segments; ++segment)
      for (std::int64_t p0 = 0; p0 < e.depth; p0 += depth_block) {
        const std::int64_t p1 = std::min(e.depth, p0 + depth_block);
        const T* const a = left(product, segment) + row0 * strides.row + p0 * strides.step;
        for (std::int64_t c = col0; c < col1; c += panel) {
          const std::int64_t c1 = std::min(col1, c + panel), vectors = (c1 - c + lanes - 1) / lanes;
          pack(product, segment, p0, p1, c, c1, vectors * lanes, right);
          for (std::int64_t r = row0; r < row1; r += kernels.max_rows)
            kernels.at(std::min<std::int64_t>(kernels.max_rows, row1 - r), vectors)(
                p1 - p0, a + (r - row0) * strides.row, strides.row, strides.step, right, vectors * lanes,
                tile + (r - row0) * tiling.cols + (c - col0), tiling.cols, segment + p0 > 0);
        }
      }
    store(product, row0, row1, col0, col1, tile, tiling.cols);
  };
  if (tasks == 1 || threads == 1) {
    for (std::int64_t task = 0; task < tasks; ++task) run(task);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t task = 0; task < tasks; ++task) run(task);
}

}  // namespace rulegrad::kernels
