#include <algorithm>
#include <array>
#include <vector>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"
#include "kernels/common/words.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/move/movement.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 1.38 times as long (encoder, lxt.attn_lrp, batch 1): benchmarks/kernel_worth.
const KernelPath rows_path("transpose: rows are copied");
// Stays: no measured network takes it; by rows alone each element would be a cache line of its own.
const KernelPath blocks_path("transpose: blocks");

constexpr std::int64_t tile_extent = 32;

/// y[j + i * y_step] = x[i + j * x_step] for a block of i and j: x runs along i, y along j.
template <class W>
void transpose_block(std::int64_t rows, std::int64_t columns, const W* x, std::int64_t x_step, W* y,
                     std::int64_t y_step) {
  for (std::int64_t i0 = 0; i0 < rows; i0 += tile_extent)
    for (std::int64_t j0 = 0; j0 < columns; j0 += tile_extent) {
      const std::int64_t i1 = std::min(rows, i0 + tile_extent), j1 = std::min(columns, j0 + tile_extent);
      W tile[tile_extent][tile_extent];
      for (std::int64_t j = j0; j < j1; ++j)
        for (std::int64_t i = i0; i < i1; ++i) tile[i - i0][j - j0] = x[i + j * x_step];
      for (std::int64_t i = i0; i < i1; ++i)
        for (std::int64_t j = j0; j < j1; ++j) y[i * y_step + j] = tile[i - i0][j - j0];
    }
}

template <class W>
void copy_rows(const Walk<1>& walk, std::int64_t count, const W* x, W* y) {
  parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
    vectorised([&] {
      for_each_row(walk, begin, end,
                   [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 1>& from) {
                     const std::int64_t step = walk.stride[0][walk.rank - 1];
                     const W* const in = x + from[0];
                     W* const out = y + at;
                     if (step == 1)
                       for (std::int64_t i = 0; i < length; ++i) out[i] = in[i];
                     else if (step == 0)
                       for (std::int64_t i = 0; i < length; ++i) out[i] = *in;
                     else
                       for (std::int64_t i = 0; i < length; ++i) out[i] = in[i * step];
                   });
    });
  });
}

std::vector<std::int64_t> strides_of(DimsView dims) {
  std::vector<std::int64_t> strides(dims.size());
  std::int64_t step = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = step;
    step *= dims[i];
  }
  return strides;
}

template <class W>
void transpose_walk(const Walk<1>& walk, std::int64_t count, const W* x, W* y) {
  const std::size_t last = walk.rank - 1;
  std::size_t fast = last;  // the axis of y along which x is contiguous
  for (std::size_t i = 0; i < walk.rank; ++i)
    if (walk.stride[0][i] == 1) fast = i;
  const bool by_rows = fast == last || !blocks_path.open();
  (by_rows ? rows_path : blocks_path).taken();
  if (by_rows) return copy_rows(walk, count, x, y);
  std::int64_t y_step = 1;
  for (std::size_t i = fast + 1; i < walk.rank; ++i) y_step *= walk.extent[i];
  // Two strides, x and y, over all axes but the two of the block; rows of the block are shared out to
  // threads.
  Walk<2> outer;
  std::int64_t step = count, outer_count = 1;
  for (std::size_t i = 0; i < last; ++i) {
    step /= walk.extent[i];
    if (i == fast) continue;
    outer.push(walk.extent[i], {walk.stride[0][i], step});
    outer_count *= walk.extent[i];
  }
  outer.finish();
  const std::int64_t rows = walk.extent[fast], columns = walk.extent[last],
                     bands = (rows + tile_extent - 1) / tile_extent;
  parallel_each(outer_count * bands, std::min(rows, tile_extent) * columns, [&](std::int64_t task) {
    const std::int64_t first = task % bands * tile_extent;
    std::int64_t at = task / bands, from = 0, to = 0;
    for (std::size_t i = outer.rank; i-- > 0;) {
      from += at % outer.extent[i] * outer.stride[0][i];
      to += at % outer.extent[i] * outer.stride[1][i];
      at /= outer.extent[i];
    }
    vectorised([&] {
      transpose_block(std::min(tile_extent, rows - first), columns, x + from + first, walk.stride[0][last],
                      y + to + first * y_step, y_step);
    });
  });
}

struct Strided {
  Walk<1> walk;
  std::int64_t offset = 0;
};

/// The places start + i * step of an array of `dims`.
Strided strided(DimsView dims, DimsView starts, DimsView steps, DimsView counts) {
  Strided s;
  const auto strides = strides_of(dims);
  for (std::size_t i = 0; i < dims.size(); ++i) {
    s.offset += starts[i] * strides[i];
    s.walk.push(counts[i], {strides[i] * steps[i]});
  }
  s.walk.finish();
  return s;
}

}  // namespace

void transpose(std::size_t element_bytes, DimsView x_dims, DimsView perm, const void* x, void* y) {
  const std::int64_t count = count_of(x_dims);
  if (count == 0) return;
  const auto strides = strides_of(x_dims);
  Walk<1> walk;
  for (const auto axis : perm)
    walk.push(x_dims[static_cast<std::size_t>(axis)], {strides[static_cast<std::size_t>(axis)]});
  walk.finish();
  with_word(element_bytes,
            [&]<class W>(W) { transpose_walk(walk, count, static_cast<const W*>(x), static_cast<W*>(y)); });
}

void expand(std::size_t element_bytes, DimsView x_dims, const void* x, DimsView y_dims, void* y) {
  const std::int64_t count = count_of(y_dims);
  if (count == 0) return;
  const auto walk = broadcast_walk<1>(y_dims, {x_dims});
  with_word(element_bytes,
            [&]<class W>(W) { copy_rows(walk, count, static_cast<const W*>(x), static_cast<W*>(y)); });
}

void slice(std::size_t element_bytes, DimsView x_dims, DimsView starts, DimsView steps, const void* x,
           DimsView y_dims, void* y) {
  const std::int64_t count = count_of(y_dims);
  if (count == 0) return;
  const Strided s = strided(x_dims, starts, steps, y_dims);
  with_word(element_bytes, [&]<class W>(W) {
    copy_rows(s.walk, count, static_cast<const W*>(x) + s.offset, static_cast<W*>(y));
  });
}

void slice_scatter(std::size_t element_bytes, DimsView g_dims, DimsView starts, DimsView steps, const void* g,
                   DimsView y_dims, void* y) {
  const std::int64_t count = count_of(g_dims);
  with_word(element_bytes, [&]<class W>(W) {
    W* const out = static_cast<W*>(y);
    parallel_chunks(count_of(y_dims), grain_size,
                    [&](std::int64_t begin, std::int64_t end) { std::fill(out + begin, out + end, W(0)); });
    if (count == 0) return;
    const Strided s = strided(y_dims, starts, steps, g_dims);
    const W* const in = static_cast<const W*>(g);
    parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
      vectorised([&] {
        for_each_row(s.walk, begin, end,
                     [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 1>& to) {
                       const std::int64_t step = s.walk.stride[0][s.walk.rank - 1];
                       W* const row = out + s.offset + to[0];
                       if (step == 1)
                         for (std::int64_t i = 0; i < length; ++i) row[i] = in[at + i];
                       else
                         for (std::int64_t i = 0; i < length; ++i) row[i * step] = in[at + i];
                     });
      });
    });
  });
}

}  // namespace rulegrad::kernels
