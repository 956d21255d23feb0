#include "rulegrad/draw/series.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "draw/drawing.hpp"

namespace rulegrad::io {
namespace {

constexpr std::int64_t most_channels = 64;
/// What has so many columns is read as a table.
constexpr std::int64_t longest_table = 64;
/// What has more rows is read as a picture.
constexpr std::int64_t most_read_as_channels = 16;

void check(const Tensor& attribution, const Tensor& signal, const SeriesOptions& options) {
  const Dims& dims = attribution.dims();
  const bool series = (dims.size() == 1 || dims.size() == 2) && attribution.size() > 0;
  if (!series || (signal.size() > 0 && signal.dims() != dims))
    throw Error(
        ErrorCode::shape,
        fmt::format(
            "[series_plot] draws series [T] or [C, T] with a signal of the same shape, not {} with {}",
            to_string(dims), to_string(signal.dims())));
  if (dims.size() == 2 && dims[0] > most_channels)
    throw Error(ErrorCode::shape,
                fmt::format("[series_plot] draws at most {} channels, not {}", most_channels, dims[0]));
  for (const Tensor* values : {&attribution, &signal})
    for (std::int64_t i = 0; i < (values->size() == 0 ? 0 : values->size()); ++i)
      if (!std::isfinite(values->at(i)))
        throw Error(ErrorCode::non_finite,
                    fmt::format("[series_plot] the value at element {} is {}", i, values->at(i)));
  if (options.text_scale < 1 || options.text_scale > 16 || options.width < 120 * options.text_scale ||
      options.width > 1 << 14 || options.strip_height < 16 || options.strip_height > 1 << 12)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[series_plot] a text scale of 1..16, a width of at least 120 times that and "
                            "strips of 16..4096 pixels are needed, not {}, {} and {}",
                            options.text_scale, options.width, options.strip_height));
}

}  // namespace

bool looks_like_series(const Dims& dims, bool named) {
  if (dims.size() == 2) return dims[0] <= most_read_as_channels && dims[1] > dims[0];
  return dims.size() == 1 && !named && dims[0] > longest_table;
}

Figure series_figure(const Tensor& attribution, const Tensor& signal, const SeriesOptions& options) {
  check(attribution, signal, options);
  const Tensor& line = signal.size() > 0 ? signal : attribution;
  const ColorMap colors = options.own_colormap ? *options.own_colormap : ColorMap::named(options.colormap);
  const std::int64_t channels = attribution.rank() == 1 ? 1 : attribution.dims()[0],
                     steps = attribution.size() / channels;
  double limit = options.limit.value_or(symmetric_limit(attribution, options.percentile));
  if (limit <= 0) limit = 1;

  const std::int64_t scale = options.text_scale, margin = 12 * scale, gap = 6 * scale;
  const TextStyle faint{look::faint_ink, scale, false}, bold{look::ink, scale, true};
  const std::int64_t title = options.title.empty() ? 0 : text_height(bold) + gap;
  const std::int64_t width = options.width - 2 * margin, strip = options.strip_height;
  Canvas canvas(options.width, 2 * margin + title + channels * (strip + gap) + text_height(faint),
                look::page);
  canvas.text(margin, margin, shortened(options.title, width, bold), bold);
  std::int64_t y = margin + title;
  for (std::int64_t c = 0; c < channels; ++c, y += strip + gap) {
    const auto value = [&](const Tensor& of, std::int64_t t) { return of.at(c * steps + t); };
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t first = x * steps / width, last = std::max(first + 1, (x + 1) * steps / width);
      double strongest = 0;
      for (std::int64_t t = first; t < last; ++t)
        if (std::abs(value(attribution, t)) > std::abs(strongest)) strongest = value(attribution, t);
      canvas.fill_number(margin + x, y, 1, strip, colors(std::clamp(strongest / limit, -1.0, 1.0)));
    }
    double low = value(line, 0), high = low;
    for (std::int64_t t = 0; t < steps; ++t) {
      low = std::min(low, value(line, t));
      high = std::max(high, value(line, t));
    }
    const double range = high > low ? high - low : 1;
    std::vector<Point> points;
    for (std::int64_t t = 0; t < steps; ++t)
      points.push_back(
          {static_cast<double>(margin) +
               (static_cast<double>(t) + 0.5) * static_cast<double>(width) / static_cast<double>(steps),
           static_cast<double>(y) + 4 + (high - value(line, t)) / range * static_cast<double>(strip - 8)});
    canvas.polyline(points, 1.4 * static_cast<double>(scale), look::ink);
    canvas.frame(margin, y, width, strip, look::line);
  }
  canvas.text(margin, y, "0", faint);
  canvas.text_right(margin + width, y, fmt::format("{}", steps - 1), faint);
  canvas.text_centred(margin + width / 2, y, fmt::format("full colour at {}", look::number(limit)), faint);
  return std::move(canvas).figure();
}

Picture series_plot(const Tensor& attribution, const Tensor& signal, const SeriesOptions& options) {
  return series_figure(attribution, signal, options).picture();
}

}  // namespace rulegrad::io
