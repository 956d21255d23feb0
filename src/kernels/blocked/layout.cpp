#include "kernels/blocked/layout.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/common/parallel.hpp"
#include "kernels/common/words.hpp"

namespace rulegrad::kernels::blocked {
namespace {

/// Positions that are turned at once, so that a cache line is read and written whole.
constexpr std::int64_t tile = 64;

std::int64_t positions_of(std::span<const std::int64_t> dims) {
  return element_count(dims.subspan(2));
}

/// Calls f(first plane, positions from, to) for tiles of blocks of channels.
template <class F>
void for_each_tile(std::span<const std::int64_t> dims, std::int64_t block, F f) {
  const std::int64_t positions = positions_of(dims), groups = dims[0] * dims[1] / block;
  const std::int64_t tiles = (positions + tile - 1) / tile;
  parallel_each(groups * tiles, block * std::min(tile, positions), [&](std::int64_t i) {
    const std::int64_t from = i % tiles * tile;
    f(i / tiles * block, from, std::min(positions, from + tile));
  });
}

template <class W, std::int64_t Block>
void to_blocks(const ConstView& from, const MutableView& to) {
  const auto* const x = reinterpret_cast<const W*>(from.data);
  auto* const y = reinterpret_cast<W*>(to.data);
  const std::int64_t positions = positions_of(to.dims);
  for_each_tile(to.dims, Block, [&](std::int64_t plane, std::int64_t begin, std::int64_t end) {
    const W* const source = x + plane * positions;
    W* const target = y + plane * positions;
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t c = 0; c < Block; ++c) target[i * Block + c] = source[c * positions + i];
  });
}

template <class W, std::int64_t Block>
void to_rows(const ConstView& from, const MutableView& to) {
  const auto* const x = reinterpret_cast<const W*>(from.data);
  auto* const y = reinterpret_cast<W*>(to.data);
  const std::int64_t positions = positions_of(to.dims);
  for_each_tile(to.dims, Block, [&](std::int64_t plane, std::int64_t begin, std::int64_t end) {
    const W* const source = x + plane * positions;
    W* const target = y + plane * positions;
    for (std::int64_t c = 0; c < Block; ++c)
      for (std::int64_t i = begin; i < end; ++i) target[c * positions + i] = source[i * Block + c];
  });
}

}  // namespace

Dims shown_dims(std::span<const std::int64_t> dims, std::size_t channel, std::int64_t block) {
  Dims shown(dims.begin(), dims.end());
  const bool cut = channel < shown.size() && shown[channel] != 1;
  if (cut) shown[channel] /= block;
  shown.push_back(cut ? block : 1);
  return shown;
}

std::int64_t row_major_position(std::span<const std::int64_t> dims, std::int64_t block,
                                std::int64_t position) {
  if (block == 0) return position;
  const std::int64_t positions = positions_of(dims), inner = position % block;
  const std::int64_t place = position / block % positions, group = position / block / positions;
  return (group * block + inner) * positions + place;
}

void reorder(const ConstView& from, const MutableView& to) {
  const std::int64_t block = std::max(from.block, to.block);
  const bool cut = to.block != 0;
  with_word(size_of(to.dtype), [&]<class W>(W) {
    if (block == 16)
      cut ? to_blocks<W, 16>(from, to) : to_rows<W, 16>(from, to);
    else if (block == 8)
      cut ? to_blocks<W, 8>(from, to) : to_rows<W, 8>(from, to);
    else
      throw Error(ErrorCode::internal, "[kernels] channels lie in blocks of 8 or 16");
  });
}

Kernel reorder_kernel() {
  Kernel kernel;
  kernel.run = [](const KernelCall& call) { reorder(call.operands[0], call.result); };
  kernel.rows = [](std::span<const Type>, const Type&, const Attributes&) {
    return std::vector<std::size_t>{0};
  };
  return kernel;
}

}  // namespace rulegrad::kernels::blocked
