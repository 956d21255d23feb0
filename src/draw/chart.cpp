#include "rulegrad/draw/chart.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>
#include <utility>
#include <vector>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "draw/drawing.hpp"

namespace rulegrad::io {
namespace {

/// Drawn by hand, as bars, lines and words on a canvas are all that a chart needs: a library for plots would be
/// larger than rulegrad, and figures must be the same in PNG, SVG and PDF.
struct Bar {
  std::string name;
  double value = 0.0;
  bool rest = false;
};

std::vector<Bar> bars_of(const Tensor& attribution, std::span<const std::string> names, std::size_t most) {
  const Dims& dims = attribution.dims();
  if (attribution.size() == 0 || !(dims.size() == 1 || (dims.size() == 2 && dims[0] == 1)))
    throw Error(
        ErrorCode::shape,
        fmt::format("[bar_chart] draws feature vectors of shape [F] or [1, F], not {}", to_string(dims)));
  const auto count = static_cast<std::size_t>(attribution.size());
  if (!names.empty() && names.size() != count)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[bar_chart] there are {} names for {} features", names.size(), count));
  if (most == 0) throw Error(ErrorCode::invalid_argument, "[bar_chart] most_bars must be at least 1");

  std::vector<Bar> bars;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = attribution.at(static_cast<std::int64_t>(i));
    if (!std::isfinite(value))
      throw Error(ErrorCode::non_finite,
                  fmt::format("[bar_chart] the attribution of feature {} is {}", i, value));
    bars.push_back({names.empty() ? fmt::format("{}", i) : names[i], value, false});
  }
  if (count <= most) return bars;
  std::ranges::stable_sort(bars,
                           [](const Bar& a, const Bar& b) { return std::abs(a.value) > std::abs(b.value); });
  Bar rest{fmt::format("{} other{}", count - most, count - most == 1 ? "" : "s"), 0.0, true};
  for (std::size_t i = most; i < count; ++i) rest.value += bars[i].value;
  bars.resize(most);
  bars.push_back(std::move(rest));
  return bars;
}

/// From numbers to pixels, with room for the numbers beside the bars.
struct Axis {
  double low = 0.0, high = 0.0;
  std::int64_t left = 0, right = 0;

  [[nodiscard]] std::int64_t at(double value) const {
    const double fraction = (std::clamp(value, low, high) - low) / (high - low);
    return left + static_cast<std::int64_t>(std::lround(fraction * static_cast<double>(right - left)));
  }
};

}  // namespace

Figure bar_figure(const Tensor& attribution, std::span<const std::string> names,
                  const BarChartOptions& options) {
  const std::vector<Bar> bars = bars_of(attribution, names, options.most_bars);
  const ColorMap colors = options.own_colormap ? *options.own_colormap : ColorMap::named(options.colormap);
  if (options.limit && !(std::isfinite(*options.limit) && *options.limit > 0.0))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[bar_chart] the limit must be positive and finite, not {}", *options.limit));
  const std::int64_t scale = options.text_scale;
  if (scale < 1 || scale > 16 || options.width < 240 * scale)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "[bar_chart] a text scale of 1..16 and a width of at least 240 times that are needed, not "
            "{} and {}",
            scale, options.width));
  double limit = 0.0;
  for (const Bar& bar : bars) limit = std::max(limit, std::abs(bar.value));
  if (options.limit) limit = *options.limit;
  if (limit == 0.0) limit = 1.0;

  const TextStyle plain{look::ink, scale, false}, faint{look::faint_ink, scale, false},
      bold{look::ink, scale, true};
  const std::int64_t margin = 16 * scale, gap = 8 * scale, row = 20 * scale, thick = 13 * scale;
  std::int64_t label_width = 0, number_width = 0;
  for (const Bar& bar : bars) {
    label_width = std::max(label_width, text_width(bar.name, plain));
    number_width = std::max(number_width, text_width(look::number(bar.value), plain));
  }
  label_width = std::min(label_width, options.width * 2 / 5);
  const bool negative = std::ranges::any_of(bars, [](const Bar& bar) { return bar.value < 0.0; });
  const bool positive =
      !negative || std::ranges::any_of(bars, [](const Bar& bar) { return bar.value > 0.0; });

  Axis axis;
  axis.low = negative ? -limit : 0.0;
  axis.high = positive ? limit : 0.0;
  const std::int64_t panel_left = margin + label_width + gap, panel_right = options.width - margin;
  axis.left = panel_left + gap + (negative ? number_width + gap : 0);
  axis.right = panel_right - gap - (positive ? number_width + gap : 0);

  const std::int64_t title_height = options.title.empty() ? 0 : text_height(bold) + 12 * scale;
  const std::int64_t top = margin + title_height;
  const std::int64_t panel_height = static_cast<std::int64_t>(bars.size()) * row + gap;
  Canvas canvas(options.width, top + panel_height + 6 * scale + text_height(faint) + margin - 4 * scale,
                look::page);
  canvas.text(margin, margin, shortened(options.title, options.width - 2 * margin, bold), bold);
  canvas.fill(panel_left, top, panel_right - panel_left, panel_height, look::panel);
  canvas.frame(panel_left, top, panel_right - panel_left, panel_height, look::line);
  // The numbers at half the limit are left out where they would touch their neighbours.
  const std::int64_t half_way = axis.at(negative ? -0.5 * limit : 0.5 * limit);
  const bool halves = std::abs(half_way - axis.at(0.0)) > text_width(look::number(-0.5 * limit), faint) + gap;
  for (const double tick : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
    const double value = tick * limit;
    if (value < axis.low || value > axis.high) continue;
    if (tick != 0.0) canvas.fill(axis.at(value), top, 1, panel_height, look::faint_line);
    if (std::abs(tick) != 0.5 || halves)
      canvas.text_centred(axis.at(value), top + panel_height + 6 * scale, look::number(value), faint);
  }
  const std::int64_t zero = axis.at(0.0);
  std::int64_t y = top + gap / 2;
  for (const Bar& bar : bars) {
    const std::int64_t text_y = y + (row - text_height(plain)) / 2;
    const std::int64_t end = axis.at(bar.value);
    const Rgb color = bar.rest ? look::faint_ink : colors(bar.value < 0.0 ? -0.55 : 0.55);
    canvas.fill(std::min(zero, end), y + (row - thick) / 2, std::abs(end - zero), thick, color);
    canvas.text_right(panel_left - gap, text_y, shortened(bar.name, label_width, plain),
                      bar.rest ? faint : plain);
    if (bar.value < 0.0)
      canvas.text_right(end - gap / 2, text_y, look::number(bar.value), faint);
    else
      canvas.text(end + gap / 2 + 1, text_y, look::number(bar.value), faint);
    y += row;
  }
  canvas.fill(zero, top, 1, panel_height, look::faint_ink);
  return std::move(canvas).figure();
}

Picture bar_chart(const Tensor& attribution, std::span<const std::string> names,
                  const BarChartOptions& options) {
  return bar_figure(attribution, names, options).picture();
}

}  // namespace rulegrad::io
