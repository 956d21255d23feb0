#include "kernels/conv/conv_direct.hpp"

#include <algorithm>
#include <vector>

#include "kernels/common/parallel.hpp"
#include "kernels/common/scratch.hpp"
#include "kernels/product/micro_kernel.hpp"
#include "kernels/product/tiled_product.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t kernel_rows = 8;         // those of a micro kernel: a packed panel would be read once
constexpr std::int64_t band_rows = 8;           // of positions, that a thread takes at once
constexpr std::int64_t band_bytes = 256 << 10;  // of a band between zeros

/// The positions along one axis that taps reach, relative to that of the grid.
struct Reached {
  std::int64_t low = 0, high = 0;

  Reached(const Grid& grid, std::size_t axis) {
    const auto less = [axis](const Triple& a, const Triple& b) { return a[axis] < b[axis]; };
    const auto [first, last] = std::minmax_element(grid.taps.begin(), grid.taps.end(), less);
    low = (*first)[axis];
    high = (*last)[axis];
  }
  /// That `count` positions need, `step` apart.
  [[nodiscard]] std::int64_t extent(std::int64_t count, std::int64_t step) const {
    return (count - 1) * step + high - low + 1;
  }
};

/// A band of consecutive rows of positions, and where its part of the image lies between zeros: [channels,
/// planes, lines, width].
struct Band {
  std::int64_t rows, planes, lines, width;
  Triple first;  ///< what taps reach furthest back, by axis

  Band(const Grid& grid, std::int64_t lanes) {
    const Reached z(grid, 0), y(grid, 1), x(grid, 2);
    rows = ceil_div(grid.positions[1], ceil_div(grid.positions[1], band_rows));
    planes = z.extent(1, grid.step[0]);
    lines = y.extent(rows, grid.step[1]);
    width = x.extent(ceil_div(grid.positions[2], lanes) * lanes, 1);
    first = {z.low, y.low, x.low};
  }
  [[nodiscard]] std::int64_t channel() const { return planes * lines * width; }
};

template <class T>
class Direct {
 public:
  Direct(const Grid& grid, const Target& target, std::int64_t rows, std::int64_t channels)
      : grid_(grid),
        target_(target),
        rows_(rows),
        channels_(channels),
        kernels_(micro_kernels<T>()),
        band_(grid, kernels_.lanes) {
    const auto [z, y, x] = band_.first;
    for (std::int64_t c = 0; c < channels; ++c)
      for (const Triple& d : grid.taps)
        offsets_.push_back(((c * band_.planes + d[0] - z) * band_.lines + d[1] - y) * band_.width + d[2] - x);
  }

  void run(std::int64_t groups, const T* left, const T* x, std::span<const T> bias, T* out) const {
    const std::int64_t bands = ceil_div(grid_.positions[1], band_.rows), planes = grid_.positions[0];
    const std::int64_t depth = static_cast<std::int64_t>(offsets_.size());
    const std::int64_t cost = band_.rows * grid_.positions[2] * depth * rows_ / kernels_.lanes;
    parallel_each(groups * grid_.batch * planes * bands, cost, [&](std::int64_t task) {
      const std::int64_t group = task / (grid_.batch * planes * bands),
                         n = task / (planes * bands) % grid_.batch;
      const Triple first{task / bands % planes, task % bands * band_.rows, 0};
      T* const image = reinterpret_cast<T*>(thread_scratch(
          static_cast<std::size_t>(channels_ * band_.channel() + kernel_rows * tile_extent) * sizeof(T)));
      copy(x + n * grid_.batch_stride + group * channels_ * grid_.channel_stride, first, image);
      const std::span<const T> offset =
          bias.empty() ? bias : bias.subspan(static_cast<std::size_t>(group * rows_));
      multiply(left + group * rows_ * depth, image, image + channels_ * band_.channel(), n, first, offset,
               out + group * rows_ * target_.channel_stride);
    });
  }

 private:
  static constexpr std::int64_t tile_extent = 16 << (shifted_sizes - 1);  // elements of the most vectors

  /// What the band that begins at position `first` reads, with zeros where it lies outside.
  void copy(const T* x, const Triple& first, T* image) const {
    const std::int64_t z0 = first[0] * grid_.step[0] + band_.first[0],
                       y0 = first[1] * grid_.step[1] + band_.first[1], x0 = band_.first[2];
    const std::int64_t begin = std::clamp<std::int64_t>(-x0, 0, band_.width),
                       end = std::clamp<std::int64_t>(grid_.extent[2] - x0, begin, band_.width);
    for (std::int64_t c = 0; c < channels_; ++c)
      for (std::int64_t z = z0; z < z0 + band_.planes; ++z)
        for (std::int64_t y = y0; y < y0 + band_.lines; ++y, image += band_.width) {
          if (!inside(z, grid_.extent[0]) || !inside(y, grid_.extent[1])) {
            std::fill_n(image, band_.width, T(0));
            continue;
          }
          const T* const row = x + c * grid_.channel_stride + (z * grid_.extent[1] + y) * grid_.extent[2];
          std::fill_n(image, begin, T(0));
          std::copy(row + x0 + begin, row + x0 + end, image + begin);
          std::fill(image + end, image + band_.width, T(0));
        }
  }

  void multiply(const T* left, const T* image, T* tile, std::int64_t n, const Triple& first,
                std::span<const T> bias, T* out) const {
    const std::int64_t last = std::min(grid_.positions[1], first[1] + band_.rows), lanes = kernels_.lanes;
    const std::int64_t depth = static_cast<std::int64_t>(offsets_.size());
    for (std::int64_t row = 0; row < rows_; row += kernels_.max_rows) {
      const std::int64_t height = std::min<std::int64_t>(kernels_.max_rows, rows_ - row);
      const ShiftedKernel<T>* const sizes = kernels_.shifted[height - 1];
      for (std::int64_t y = first[1]; y < last;) {
        int size = shifted_sizes - 1;
        while (sizes[size] == nullptr || (std::int64_t{1} << size) > last - y) --size;
        const std::int64_t vectors = std::int64_t{1} << size;
        for (std::int64_t column = 0; column < grid_.positions[2]; column += lanes) {
          const T* const from = image + (y - first[1]) * grid_.step[1] * band_.width + column;
          for (std::int64_t p = 0; p < depth; p += depth_block)
            sizes[size](std::min(depth_block, depth - p), left + row * depth + p, depth, from,
                        offsets_.data() + p, grid_.step[1] * band_.width, tile, tile_extent, p > 0);
          for (std::int64_t v = 0; v < vectors; ++v)
            store(tile + v * lanes, height, std::min(lanes, grid_.positions[2] - column),
                  {first[0], y + v, column},
                  bias.empty() ? bias : bias.subspan(static_cast<std::size_t>(row)), n,
                  out + row * target_.channel_stride);
        }
        y += vectors;
      }
    }
  }

  void store(const T* tile, std::int64_t height, std::int64_t width, const Triple& t, std::span<const T> bias,
             std::int64_t n, T* out) const {
    T* to = out + target_.at(n, t);
    for (std::int64_t i = 0; i < height; ++i, to += target_.channel_stride, tile += tile_extent) {
      const T offset = bias.empty() ? T(0) : bias[static_cast<std::size_t>(i)];
      for (std::int64_t c = 0; c < width; ++c) to[c * target_.step[2]] = tile[c] + offset;
    }
  }

  const Grid& grid_;
  const Target& target_;
  std::int64_t rows_, channels_;
  const MicroKernels<T>& kernels_;
  Band band_;
  std::vector<std::int64_t> offsets_;  ///< of each (channel, tap) in a band
};

}  // namespace

template <class T>
bool is_direct(const Grid& grid, std::int64_t rows, std::int64_t channels) {
  if (rows > kernel_rows || grid.step[2] != 1 || grid.taps.empty() ||
      grid.batch * grid.positions_per_image() == 0)
    return false;
  const std::int64_t lanes = micro_kernels<T>().lanes;
  const bool filled = 2 * grid.positions[2] > ceil_div(grid.positions[2], lanes) * lanes;
  return filled && grid.positions[1] > 1 &&
         channels * Band(grid, lanes).channel() * static_cast<std::int64_t>(sizeof(T)) <= band_bytes;
}

template <class T>
void direct_product(const Grid& grid, const Target& target, std::int64_t groups, std::int64_t rows,
                    std::int64_t channels, const T* left, const T* x, std::span<const T> bias, T* out) {
  Direct<T>(grid, target, rows, channels).run(groups, left, x, bias, out);
}

template bool is_direct<float>(const Grid&, std::int64_t, std::int64_t);
template bool is_direct<double>(const Grid&, std::int64_t, std::int64_t);
template void direct_product(const Grid&, const Target&, std::int64_t, std::int64_t, std::int64_t,
                             const float*, const float*, std::span<const float>, float*);
template void direct_product(const Grid&, const Target&, std::int64_t, std::int64_t, std::int64_t,
                             const double*, const double*, std::span<const double>, double*);

}  // namespace rulegrad::kernels
