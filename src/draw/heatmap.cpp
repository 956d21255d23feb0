#include "rulegrad/draw/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <span>
#include <utility>
#include <vector>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "files/codec.hpp"

namespace rulegrad::io {
namespace {

constexpr std::int64_t least_side = 128;
constexpr Rgb table_line{0xd4, 0xd7, 0xdc};

void check_options(const HeatmapOptions& options) {
  if (options.limit && !(std::isfinite(*options.limit) && *options.limit > 0.0))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[render] the limit of a heat map must be positive and finite, not {}", *options.limit));
  if (!(options.gamma > 0.0) || !std::isfinite(options.gamma))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[render] gamma must be positive and finite, not {}", options.gamma));
  if (options.upscale < 0)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[render] upscale must be at least 1 (or 0 for automatic), not {}", options.upscale));
}

/// The numbers in -1..1 that the colours show.
std::vector<double> shown(const Tensor& map, const HeatmapOptions& options) {
  const double limit = options.limit ? *options.limit : symmetric_limit(map, options.percentile);
  std::vector<double> result;
  result.reserve(static_cast<std::size_t>(map.size()));
  for (const double value : map.values<double>()) {
    const double t = limit == 0.0 ? 0.0 : std::clamp(value / limit, -1.0, 1.0);
    result.push_back(options.gamma == 1.0 ? t : std::copysign(std::pow(std::abs(t), options.gamma), t));
  }
  return result;
}

Picture colored(std::span<const double> values, std::int64_t height, std::int64_t width,
                const ColorMap& colors) {
  Picture picture(width, height, 3);
  for (std::size_t i = 0; i < values.size(); ++i)
    std::ranges::copy(colors(values[i]), &picture.pixels[3 * i]);
  return picture;
}

std::int64_t upscale_factor(const HeatmapOptions& options, std::int64_t height, std::int64_t width) {
  if (options.upscale != 0) {
    const double side = static_cast<double>(options.upscale);
    if (side * side * static_cast<double>(height) * static_cast<double>(width) >
        static_cast<double>(most_pixels))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[render] {} pixels a side for each of {} x {} values is a picture of more "
                              "than {} pixels; take a smaller upscale",
                              options.upscale, height, width, most_pixels));
    return options.upscale;
  }
  const std::int64_t shorter = std::min(height, width);
  return (least_side + shorter - 1) / shorter;
}

/// The channels in a table, a gray line between neighbours: up to four in one row, more as square as can be.
Picture table(std::span<const double> values, const Dims& dims, const HeatmapOptions& options,
              const ColorMap& colors) {
  const std::int64_t channels = dims[0], height = dims[1], width = dims[2];
  const std::int64_t columns =
      channels <= 4 ? channels
                    : static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(channels))));
  const std::int64_t rows = (channels + columns - 1) / columns;
  const std::int64_t factor = upscale_factor(options, rows * height, columns * width);
  const std::int64_t cell_height = factor * height + 1, cell_width = factor * width + 1;
  Canvas canvas(columns * cell_width - 1, rows * cell_height - 1, table_line);
  const auto plane = static_cast<std::size_t>(height * width);
  for (std::int64_t c = 0; c < channels; ++c) {
    const Picture map =
        colored(values.subspan(static_cast<std::size_t>(c) * plane, plane), height, width, colors);
    canvas.place(magnified(map, factor), c % columns * cell_width, c / columns * cell_height);
  }
  return std::move(canvas).take();
}

double reduced(std::span<const double> channels, ChannelReduction reduction) {
  double result = 0.0;
  if (reduction == ChannelReduction::max_abs) {
    for (const double value : channels)
      if (std::abs(value) > std::abs(result)) result = value;
    return result;
  }
  for (const double value : channels) result += value;
  return reduction == ChannelReduction::mean ? result / static_cast<double>(channels.size()) : result;
}

}  // namespace

Tensor reduce_channels(const Tensor& attribution, ChannelReduction reduction, Layout layout) {
  Dims dims = attribution.dims();
  if (dims.size() == 4 && dims[0] == 1) dims.erase(dims.begin());
  const bool planar = layout == Layout::nchw;
  if (dims.size() == 2) dims.insert(planar ? dims.begin() : dims.end(), 1);
  if (dims.size() != 3 || element_count(dims) == 0)
    throw Error(
        ErrorCode::shape,
        fmt::format(
            "[heatmap] an attribution of shape {} is no heat map; expected [{}] or [H, W], one entry of "
            "a batch at a time",
            to_string(attribution.dims()), planar ? "C, H, W" : "H, W, C"));
  const std::int64_t channels = planar ? dims[0] : dims[2];
  const std::int64_t height = planar ? dims[1] : dims[0];
  const std::int64_t width = planar ? dims[2] : dims[1];
  const std::int64_t plane = height * width;

  const Tensor wide = attribution.cast(DType::float64);
  const auto from = wide.values<double>();
  const bool keep = reduction == ChannelReduction::none && attribution.rank() != 2;
  Tensor result =
      Tensor::uninitialized(DType::float64, keep ? Dims{channels, height, width} : Dims{height, width});
  const auto to = result.mutable_values<double>();
  std::vector<double> pixel(static_cast<std::size_t>(channels));
  for (std::int64_t i = 0; i < plane; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double value = from[static_cast<std::size_t>(planar ? c * plane + i : i * channels + c)];
      if (!std::isfinite(value))
        throw Error(ErrorCode::non_finite,
                    fmt::format("[heatmap] the attribution is {} in channel {} at row {}, column {}", value,
                                c, i / width, i % width));
      pixel[static_cast<std::size_t>(c)] = value;
      if (keep) to[static_cast<std::size_t>(c * plane + i)] = value;
    }
    if (!keep) to[static_cast<std::size_t>(i)] = reduced(pixel, reduction);
  }
  return result;
}

Tensor slices(const Tensor& volume, ChannelReduction reduction, Layout layout, std::int64_t most) {
  const Dims& dims = volume.dims();
  if (dims.size() != 4 || volume.size() == 0 || most < 1)
    throw Error(ErrorCode::shape,
                fmt::format("[slices] {} is no volume of which {} slices could be shown; expected [{}]",
                            to_string(dims), most, layout == Layout::nchw ? "C, D, H, W" : "D, H, W, C"));
  const bool planar = layout == Layout::nchw;
  const std::int64_t depth = dims[planar ? 1 : 0], height = dims[planar ? 2 : 1],
                     width = dims[planar ? 3 : 2];
  // Depth and height lie one after the other: channels are reduced as those of one tall picture.
  const Tensor tall = reduce_channels(
      volume.reshaped(planar ? Dims{dims[0], depth * height, width} : Dims{depth * height, width, dims[3]}),
      reduction == ChannelReduction::none ? ChannelReduction::sum : reduction, layout);
  const std::int64_t count = std::min(depth, most);
  const auto columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const std::int64_t rows = (count + columns - 1) / columns;
  Tensor result(DType::float64, {rows * (height + 1) - 1, columns * (width + 1) - 1});
  const auto from = tall.values<double>();
  const auto to = result.mutable_values<double>();
  const std::int64_t across = columns * (width + 1) - 1;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t slice = (2 * k + 1) * depth / (2 * count);
    for (std::int64_t y = 0; y < height; ++y)
      std::copy_n(from.begin() + (slice * height + y) * width, width,
                  to.begin() + (k / columns * (height + 1) + y) * across + k % columns * (width + 1));
  }
  return result;
}

double symmetric_limit(const Tensor& values, double percentile) {
  if (!(percentile > 0.0 && percentile <= 100.0))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[heatmap] the percentile must be above 0 and at most 100, not {}", percentile));
  std::vector<double> magnitudes;
  const Tensor wide = values.cast(DType::float64);
  for (const double value : wide.values<double>()) {
    if (!std::isfinite(value))
      throw Error(ErrorCode::non_finite,
                  fmt::format("[heatmap] the map has the value {} at element {}", value, magnitudes.size()));
    magnitudes.push_back(std::abs(value));
  }
  if (magnitudes.empty()) return 0.0;
  const double position = percentile / 100.0 * static_cast<double>(magnitudes.size() - 1);
  // Only the two neighbours of the position need their places.
  const auto place = magnitudes.begin() + static_cast<std::ptrdiff_t>(position);
  std::nth_element(magnitudes.begin(), place, magnitudes.end());
  const double below = *place,
               above = place + 1 == magnitudes.end() ? below : *std::min_element(place + 1, magnitudes.end());
  const double limit = below + (position - std::floor(position)) * (above - below);
  return limit > 0.0 ? limit : *std::max_element(place, magnitudes.end());
}

Picture render(const Tensor& attribution, const HeatmapOptions& options) {
  check_options(options);
  const ColorMap colors = options.colors();
  if (attribution.rank() == 1)
    return bar_chart(
        attribution, {},
        {.colormap = options.colormap, .own_colormap = options.own_colormap, .limit = options.limit});
  const Tensor map = reduce_channels(attribution, options.reduce, options.layout);
  const std::vector<double> values = shown(map, options);
  if (map.rank() == 3) return table(values, map.dims(), options, colors);
  const std::int64_t height = map.dims()[0], width = map.dims()[1];
  return magnified(colored(values, height, width, colors), upscale_factor(options, height, width));
}

Picture overlay(const Picture& picture, const Tensor& attribution, const HeatmapOptions& options,
                const OverlayOptions& how) {
  check_picture(picture, "overlay");
  check_options(options);
  if (!(how.opacity >= 0.0 && how.opacity <= 1.0))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[overlay] the opacity must lie in 0..1, not {}", how.opacity));
  const ColorMap colors = options.colors();
  const Tensor map = reduce_channels(attribution, options.reduce, options.layout);
  if (map.rank() != 2)
    throw Error(ErrorCode::invalid_argument,
                "[overlay] the channels must be reduced (sum, mean, max_abs) to lie over one picture");
  const std::int64_t height = map.dims()[0], width = map.dims()[1];
  const std::int64_t factor = picture.width / width;
  if (factor == 0 || picture.width != factor * width || picture.height != factor * height)
    throw Error(
        ErrorCode::shape,
        fmt::format("[overlay] the picture has {} x {} pixels but the heat map has {} x {} values (width x "
                    "height); the picture must be as large, or an integer times that: use crop_for_overlay",
                    picture.width, picture.height, width, height));
  const std::vector<double> values = shown(map, options);
  Picture background = with_channels(how.gray_background ? with_channels(picture, 1) : picture, 3);
  if (how.gray_background)
    for (std::uint8_t& value : background.pixels) value = static_cast<std::uint8_t>(128 + value / 2);
  for (std::int64_t y = 0; y < background.height; ++y)
    for (std::int64_t x = 0; x < background.width; ++x) {
      const double t = values[static_cast<std::size_t>(y / factor * width + x / factor)];
      const double weight = how.by_magnitude ? how.opacity * std::abs(t) : how.opacity;
      const Rgb color = colors(t);
      for (std::size_t c = 0; c < 3; ++c) {
        std::uint8_t& value = background.pixels[background.index(x, y) + c];
        value = static_cast<std::uint8_t>(value + weight * (color[c] - value) + 0.5);
      }
    }
  return magnified(background, upscale_factor(options, background.height, background.width));
}

}  // namespace rulegrad::io
