#include "rulegrad/draw/line_chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <utility>

#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "draw/drawing.hpp"

namespace rulegrad::io {
namespace {

/// First colours that people who see few colours can tell apart (Okabe and Ito 2008, "Color universal
/// design"), then others.
constexpr std::array<Rgb, 12> palette{{{0x00, 0x72, 0xb2},
                                       {0xd5, 0x5e, 0x00},
                                       {0x00, 0x9e, 0x73},
                                       {0xcc, 0x79, 0xa7},
                                       {0xe6, 0x9f, 0x00},
                                       {0x56, 0xb4, 0xe9},
                                       {0x22, 0x26, 0x2e},
                                       {0x7f, 0x4f, 0x24},
                                       {0x5e, 0x3c, 0x99},
                                       {0x84, 0x8c, 0x14},
                                       {0x9b, 0x1b, 0x30},
                                       {0x00, 0x58, 0x5e}}};

struct Scale {
  double low = 0, high = 1;  ///< values
  double from = 0, to = 1;   ///< pixels
  double step = 1;           ///< between ticks

  [[nodiscard]] double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// From a tick to a tick around all values, 1, 2 or 5 times a power of ten apart, at most eight of them.
Scale scale_around(double low, double high) {
  if (low == high) {
    const double room = low == 0 ? 1 : std::abs(low) / 2;
    low -= room;
    high += room;
  }
  const double rough = (high - low) / 6, power = std::pow(10, std::floor(std::log10(rough)));
  Scale scale;
  scale.step = power * (rough / power <= 1 ? 1 : rough / power <= 2 ? 2 : rough / power <= 5 ? 5 : 10);
  scale.low = scale.step * std::floor(low / scale.step + 1e-9);
  scale.high = scale.step * std::ceil(high / scale.step - 1e-9);
  return scale;
}

std::vector<double> ticks(const Scale& scale) {
  std::vector<double> result;
  for (int k = 0; scale.low + k * scale.step <= scale.high + scale.step / 2; ++k) {
    const double value = scale.low + k * scale.step;
    result.push_back(std::abs(value) < scale.step / 1e6 ? 0 : value);
  }
  return result;
}

void check(std::span<const LinePanel> panels, const LineChartOptions& options) {
  if (options.text_scale < 1 || options.text_scale > 16 || options.panel_width < 160 * options.text_scale ||
      options.panel_height < 80 * options.text_scale)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[line_chart] a text scale of 1..16 and panels of at least 160x80 times that are "
                            "needed, not {} and {}x{}",
                            options.text_scale, options.panel_width, options.panel_height));
  std::size_t points = 0;
  for (const LinePanel& panel : panels)
    for (const Series& series : panel.series) {
      points += series.x.size();
      if (series.x.size() != series.y.size())
        throw Error(ErrorCode::invalid_argument, fmt::format("[line_chart] '{}' has {} places and {} values",
                                                             series.name, series.x.size(), series.y.size()));
      for (std::size_t i = 0; i < series.x.size(); ++i)
        if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i]))
          throw Error(ErrorCode::non_finite, fmt::format("[line_chart] point {} of '{}' is ({}, {})", i,
                                                         series.name, series.x[i], series.y[i]));
    }
  if (points == 0) throw Error(ErrorCode::invalid_argument, "[line_chart] there are no points to draw");
}

/// Pieces of seven pixels with gaps of five.
std::vector<std::vector<Point>> dashes(std::span<const Point> points) {
  constexpr double on = 7, period = 12;
  std::vector<std::vector<Point>> result;
  double walked = 0;
  for (std::size_t k = 1; k < points.size(); ++k) {
    const double length = std::hypot(points[k].x - points[k - 1].x, points[k].y - points[k - 1].y);
    const auto at = [&](double along) {
      return Point{points[k - 1].x + (points[k].x - points[k - 1].x) * along / length,
                   points[k - 1].y + (points[k].y - points[k - 1].y) * along / length};
    };
    for (double along = 0; along < length;) {
      const double phase = std::fmod(walked + along, period);
      const double next = std::min(length, along + (phase < on ? on - phase : period - phase) + 1e-9);
      if (phase < on) {
        if (result.empty() || phase < 1e-6) result.emplace_back(1, at(along));
        result.back().push_back(at(next));
      }
      along = next;
    }
    walked += length;
  }
  return result;
}

void draw_line(Canvas& canvas, const std::vector<Point>& points, bool dashed, double thickness, Rgb color) {
  if (!dashed) return canvas.polyline(points, thickness, color);
  for (const auto& dash : dashes(points)) canvas.polyline(dash, thickness, color);
}

struct Entry {
  std::string name;
  bool dashed;
  Rgb color;
};

/// In the order in which names first appear; what others are compared with is gray.
std::vector<Entry> legend_of(std::span<const LinePanel> panels) {
  std::vector<Entry> legend;
  std::size_t colors = 0;
  for (const LinePanel& panel : panels)
    for (const Series& series : panel.series)
      if (std::ranges::find(legend, series.name, &Entry::name) == legend.end())
        legend.push_back({series.name, series.dashed,
                          series.dashed ? look::faint_ink : palette[colors++ % palette.size()]});
  return legend;
}

}  // namespace

Picture line_chart(std::span<const LinePanel> panels, const LineChartOptions& options) {
  check(panels, options);
  const std::int64_t scale = options.text_scale, margin = 16 * scale, gap = 8 * scale;
  const TextStyle plain{look::ink, scale, false}, faint{look::faint_ink, scale, false},
      bold{look::ink, scale, true};
  const std::int64_t text = text_height(plain);

  double low = INFINITY, high = -INFINITY, left = INFINITY, right = -INFINITY;
  for (const LinePanel& panel : panels)
    for (const Series& series : panel.series)
      for (std::size_t i = 0; i < series.x.size(); ++i) {
        low = std::min(low, series.y[i]);
        high = std::max(high, series.y[i]);
        left = std::min(left, series.x[i]);
        right = std::max(right, series.x[i]);
      }
  Scale y = scale_around(low, high), x = scale_around(left, right);
  std::int64_t number_width = 0;
  for (const double tick : ticks(y))
    number_width = std::max(number_width, text_width(look::number(tick), faint));

  const std::vector<Entry> legend = legend_of(panels);
  const std::int64_t slot = number_width + gap + options.panel_width + gap, key = 22 * scale;
  const std::int64_t width = 2 * margin + static_cast<std::int64_t>(panels.size()) * slot +
                             (static_cast<std::int64_t>(panels.size()) - 1) * gap;
  std::vector<std::pair<std::int64_t, std::int64_t>> places;  // of the entries: x, row
  std::int64_t at = margin, row = 0;
  for (const Entry& entry : legend) {
    const std::int64_t needs = key + gap / 2 + text_width(entry.name, plain) + 2 * gap;
    if (at > margin && at + needs > width - margin) {
      at = margin;
      ++row;
    }
    places.emplace_back(at, row);
    at += needs;
  }
  const std::int64_t title_height = options.title.empty() ? 0 : text + gap + 4 * scale;
  const std::int64_t top = margin + title_height + text + gap, bottom = top + options.panel_height;
  const std::int64_t legend_top = bottom + 6 * scale + text + 4 * scale + text + 12 * scale,
                     line = text + 6 * scale;
  Canvas canvas(width, legend_top + (row + 1) * line + margin - 6 * scale, look::page);
  canvas.text(margin, margin, shortened(options.title, width - 2 * margin, bold), bold);

  y.from = static_cast<double>(bottom - gap / 2);
  y.to = static_cast<double>(top + gap / 2);
  const double thickness = 2 * static_cast<double>(scale);
  for (std::size_t p = 0; p < panels.size(); ++p) {
    const std::int64_t panel_left = margin + static_cast<std::int64_t>(p) * (slot + gap) + number_width + gap;
    canvas.fill(panel_left, top, options.panel_width, options.panel_height, look::panel);
    canvas.frame(panel_left, top, options.panel_width, options.panel_height, look::line);
    canvas.text(panel_left, top - gap - text + 2 * scale,
                shortened(panels[p].title, options.panel_width, plain), plain);
    x.from = static_cast<double>(panel_left + gap);
    x.to = static_cast<double>(panel_left + options.panel_width - gap);
    for (const double tick : ticks(y)) {
      const auto place = static_cast<std::int64_t>(std::lround(y.at(tick)));
      canvas.fill(panel_left, place, options.panel_width, 1, look::faint_line);
      canvas.text_right(panel_left - gap / 2, place - text / 2, look::number(tick), faint);
    }
    for (const double tick : ticks(x)) {
      const auto place = static_cast<std::int64_t>(std::lround(x.at(tick)));
      canvas.fill(place, top, 1, options.panel_height, look::faint_line);
      canvas.text_centred(place, bottom + 6 * scale, look::number(tick), faint);
    }
    canvas.text_centred(panel_left + options.panel_width / 2, bottom + 6 * scale + text + 2 * scale,
                        shortened(panels[p].x_label, options.panel_width, faint), faint);
    // What is compared with lies below the others.
    for (const bool dashed : {true, false})
      for (const Series& series : panels[p].series) {
        if (series.dashed != dashed) continue;
        std::vector<Point> points;
        for (std::size_t i = 0; i < series.x.size(); ++i)
          points.push_back({x.at(series.x[i]), y.at(series.y[i])});
        draw_line(canvas, points, dashed, thickness,
                  std::ranges::find(legend, series.name, &Entry::name)->color);
      }
  }
  for (std::size_t k = 0; k < legend.size(); ++k) {
    const std::int64_t top_of = legend_top + places[k].second * line;
    const double middle = static_cast<double>(top_of) + static_cast<double>(text) / 2;
    draw_line(canvas,
              {{static_cast<double>(places[k].first), middle},
               {static_cast<double>(places[k].first + key), middle}},
              legend[k].dashed, 2 * static_cast<double>(scale), legend[k].color);
    canvas.text(places[k].first + key + gap / 2, top_of, legend[k].name, plain);
  }
  return std::move(canvas).take();
}

}  // namespace rulegrad::io
