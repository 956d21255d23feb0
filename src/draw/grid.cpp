#include "rulegrad/draw/grid.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fmt/format.h>
#include <type_traits>
#include <utility>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/series.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "draw/drawing.hpp"
#include "files/codec.hpp"

namespace rulegrad::io {
namespace {

bool absent(const Tensor& attribution) {
  return attribution.rank() == 1 && attribution.size() == 0;
}

/// A grid of maps before they are coloured: the limits of one scope come from all of them.
class Maps {
 public:
  Maps(std::span<const std::string> methods, std::span<const GridRow> rows, const GridOptions& options)
      : methods_(methods), rows_(rows), options_(options), limits_(rows.size()) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].attributions.size() != methods.size())
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("[grid] row {} ('{}') has {} attributions but there are {} methods", r,
                                rows[r].label, rows[r].attributions.size(), methods.size()));
      if (!rows[r].input.empty()) check_picture(rows[r].input, "grid");
      for (std::size_t m = 0; m < methods.size(); ++m)
        limits_[r].push_back(named(r, m, [&] { return own_limit(rows[r].attributions[m]); }));
    }
    share();
  }

  [[nodiscard]] double limit(std::size_t row, std::size_t method) const { return limits_[row][method]; }
  [[nodiscard]] double largest() const {
    double result = 0.0;
    for (const auto& row : limits_)
      for (const double limit : row) result = std::max(result, limit);
    return result;
  }

  [[nodiscard]] Figure figure(std::size_t row, std::size_t method) const {
    const Tensor& attribution = rows_[row].attributions[method];
    if (absent(attribution)) return {};
    HeatmapOptions heatmap = options_.heatmap;
    heatmap.upscale = 1;
    if (limits_[row][method] > 0.0) heatmap.limit = limits_[row][method];
    return named(row, method, [&]() -> Figure {
      if (const Tensor* series = series_of(row, method))
        return series_figure(attribution, *series,
                             {.colormap = heatmap.colormap,
                              .own_colormap = heatmap.own_colormap,
                              .limit = heatmap.limit,
                              .width = plot_width});
      if (attribution.rank() == 1) return bars(rows_[row], attribution, heatmap);
      return Figure(options_.overlay && !rows_[row].input.empty()
                        ? overlay(rows_[row].input, attribution, heatmap, *options_.overlay)
                        : render(attribution, heatmap));
    });
  }

 private:
  static constexpr std::int64_t plot_width = 420;

  [[nodiscard]] const Tensor* series_of(std::size_t row, std::size_t method) const {
    const auto& series = rows_[row].series;
    return method < series.size() && series[method].size() > 0 &&
                   !(series[method].rank() == 1 && rows_[row].attributions[method].rank() != 1)
               ? &series[method]
               : nullptr;
  }
  [[nodiscard]] Figure bars(const GridRow& row, const Tensor& attribution,
                            const HeatmapOptions& heatmap) const {
    const bool named_features = static_cast<std::int64_t>(row.features.size()) == attribution.size();
    return bar_figure(attribution, named_features ? row.features : std::vector<std::string>{},
                      {.colormap = heatmap.colormap,
                       .own_colormap = heatmap.own_colormap,
                       .limit = heatmap.limit,
                       .width = plot_width * options_.text_scale,
                       .text_scale = options_.text_scale});
  }
  /// Says in errors where in the grid they arose.
  template <class F>
  std::invoke_result_t<F> named(std::size_t row, std::size_t method, F&& f) const {
    try {
      return f();
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("[grid] row {} ('{}'), method '{}': {}", row, rows_[row].label,
                                            methods_[method], error.what()));
    }
  }
  [[nodiscard]] double own_limit(const Tensor& attribution) const {
    if (absent(attribution)) return 0.0;
    const HeatmapOptions& heatmap = options_.heatmap;
    if (heatmap.limit) return *heatmap.limit;
    if (attribution.rank() == 1) return symmetric_limit(attribution, heatmap.percentile);
    return symmetric_limit(reduce_channels(attribution, heatmap.reduce, heatmap.layout), heatmap.percentile);
  }
  void share() {
    if (options_.scope == LimitScope::map) return;
    const auto together = [&](std::size_t r, std::size_t m, std::size_t row, std::size_t method) {
      return options_.scope == LimitScope::grid ||
             (options_.scope == LimitScope::row ? r == row : m == method);
    };
    const auto own = limits_;
    for (std::size_t r = 0; r < own.size(); ++r)
      for (std::size_t m = 0; m < own[r].size(); ++m)
        for (std::size_t row = 0; row < own.size(); ++row)
          for (std::size_t method = 0; method < own[row].size(); ++method)
            if (together(r, m, row, method)) limits_[r][m] = std::max(limits_[r][m], own[row][method]);
  }

  std::span<const std::string> methods_;
  std::span<const GridRow> rows_;
  const GridOptions& options_;
  std::vector<std::vector<double>> limits_;
};

std::int64_t longest_side(const Figure& figure) {
  return std::max(figure.width(), figure.height());
}

/// What all cells show, magnified; an empty one leaves its cell empty.
std::vector<std::vector<Figure>> cells_of(std::span<const std::string> methods, std::span<const GridRow> rows,
                                          const Maps& maps, bool inputs, std::int64_t cell_size) {
  std::vector<std::vector<Figure>> cells(rows.size());
  std::int64_t size = 160;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (inputs) cells[r].push_back(rows[r].input.empty() ? Figure() : Figure(rows[r].input));
    for (std::size_t m = 0; m < methods.size(); ++m) cells[r].push_back(maps.figure(r, m));
    for (const Figure& figure : cells[r]) size = std::max(size, longest_side(figure));
  }
  if (cell_size > 0) size = cell_size;
  for (auto& row : cells)
    for (Figure& figure : row)
      if (!figure.empty())
        if (const std::int64_t factor = size / longest_side(figure); factor > 1)
          figure = Figure(figure.picture(), factor);
  return cells;
}

struct Styles {
  TextStyle plain, faint, bold;
  explicit Styles(std::int64_t scale)
      : plain{look::ink, scale, false}, faint{look::faint_ink, scale, false}, bold{look::ink, scale, true} {}
};

/// The label in bold and the detail in gray, ready to be set.
struct RowText {
  std::vector<std::string> label, detail;
  std::int64_t width = 0, height = 0;
};

RowText row_text(const GridRow& row, const Styles& styles, std::int64_t most_width) {
  RowText text{wrapped(row.label, most_width, 3, styles.bold),
               wrapped(row.detail, most_width, 2, styles.faint)};
  for (const std::string& line : text.label) text.width = std::max(text.width, text_width(line, styles.bold));
  for (const std::string& line : text.detail)
    text.width = std::max(text.width, text_width(line, styles.faint));
  const std::int64_t line = text_height(styles.bold) + 2 * styles.bold.scale;
  text.height = static_cast<std::int64_t>(text.label.size() + text.detail.size()) * line;
  return text;
}

void draw_color_bar(Canvas& canvas, std::int64_t centre, std::int64_t y, const GridOptions& options,
                    const Styles& styles, double limit) {
  const std::int64_t scale = options.text_scale, half = 100 * scale, height = 10 * scale;
  const ColorMap colors = options.heatmap.colors();
  const std::int64_t left = centre - half, width = 2 * half + 1;
  for (std::int64_t i = 0; i < width; ++i) {
    const double position = static_cast<double>(i) / static_cast<double>(2 * half);
    const double t = colors.diverging() ? 2.0 * position - 1.0 : position;
    canvas.fill_number(left + i, y, 1, height,
                       colors(std::copysign(std::pow(std::abs(t), options.heatmap.gamma), t)));
  }
  canvas.frame(left, y, width, height, look::line);
  const bool one_limit = options.scope == LimitScope::grid || options.heatmap.limit;
  const std::string end = one_limit ? look::number(limit) : "limit";
  const std::string minus = one_limit ? look::number(-limit) : "\xe2\x88\x92limit";
  const std::int64_t below = y + height + 5 * scale;
  canvas.text_centred(left, below, colors.diverging() ? minus : "0", styles.faint);
  if (colors.diverging()) canvas.text_centred(centre, below, "0", styles.faint);
  canvas.text_centred(left + width - 1, below, end, styles.faint);
  const std::int64_t beside = y + (height - text_height(styles.plain)) / 2;
  if (colors.diverging()) canvas.text_right(left - 8 * scale, beside, options.negative, styles.plain);
  canvas.text(left + width + 8 * scale, beside, colors.diverging() ? options.positive : "magnitude",
              styles.plain);
}

std::int64_t line_height(const Styles& styles) {
  return text_height(styles.bold) + 2 * styles.bold.scale;
}

/// Everything that is shown, and where it stands.
struct GridPage {
  explicit GridPage(const GridOptions& grid_options)
      : options(grid_options),
        styles(options.text_scale),
        margin(20 * options.text_scale),
        gap(12 * options.text_scale),
        label_gap(14 * options.text_scale) {}

  const GridOptions& options;
  Styles styles;
  std::int64_t margin, gap, label_gap;
  std::vector<std::vector<Figure>> cells;
  std::vector<std::vector<std::string>> captions;  // as cells; none where every map has the same limit
  std::vector<RowText> texts;
  std::vector<std::vector<std::string>> headers;

  // Every column is as wide as the widest cell, every row as high as its highest.
  std::int64_t cell_width = 0;
  std::vector<std::int64_t> row_heights;
  std::int64_t caption_height = 0, title_height = 0, header_height = 0;
  std::int64_t labels_right = 0, first_column = 0, right = 0;
  std::int64_t legend_y = 0, legend_centre = 0, width = 0, height = 0;

  [[nodiscard]] std::int64_t column_left(std::size_t column) const {
    return first_column + static_cast<std::int64_t>(column) * (cell_width + gap);
  }
};

void place_cells(GridPage& page, std::span<const GridRow> rows) {
  const std::int64_t scale = page.options.text_scale;
  page.cell_width = 72 * scale;
  std::int64_t label_width = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    page.texts.push_back(row_text(rows[r], page.styles, 132 * scale));
    label_width = std::max(label_width, page.texts.back().width);
    std::int64_t height = std::max<std::int64_t>(page.texts.back().height, 24 * scale);
    for (const Figure& figure : page.cells[r]) {
      page.cell_width = std::max(page.cell_width, figure.width());
      height = std::max(height, figure.height());
    }
    page.row_heights.push_back(height);
  }
  page.labels_right = page.margin + label_width;
  page.first_column = page.labels_right + (label_width == 0 ? 0 : page.label_gap);
}

void place_rest(GridPage& page, std::span<const std::string> headers, bool inputs) {
  const std::int64_t scale = page.options.text_scale, line = line_height(page.styles);
  std::size_t most_lines = 1;
  for (const std::string& header : headers) {
    page.headers.push_back(wrapped(header, page.cell_width, 2, page.styles.bold));
    most_lines = std::max(most_lines, page.headers.back().size());
  }
  page.header_height = static_cast<std::int64_t>(most_lines) * line + 4 * scale;
  page.title_height = page.options.title.empty() ? 0 : line + 10 * scale;
  page.right = page.column_left(headers.size()) - page.gap;

  const std::int64_t legend_half =
      110 * scale + std::max(text_width(page.options.negative, page.styles.plain),
                             text_width(page.options.positive, page.styles.plain));
  page.width = std::max(page.right + page.margin, 2 * (legend_half + page.margin));
  page.height = page.margin + page.title_height + page.header_height;
  for (const std::int64_t row_height : page.row_heights)
    page.height += row_height + page.caption_height + page.gap;
  page.legend_y = page.height + 8 * scale;
  page.height = page.legend_y + 11 * scale + text_height(page.styles.faint) + page.margin;
  const std::int64_t maps_left = page.column_left(inputs ? 1 : 0);
  page.legend_centre = std::clamp((maps_left + page.right) / 2, legend_half + page.margin,
                                  page.width - legend_half - page.margin);
}

void draw_headers(Canvas& canvas, const GridPage& page) {
  const std::int64_t line = line_height(page.styles);
  const std::int64_t bottom =
      page.margin + page.title_height + page.header_height - 4 * page.options.text_scale;
  for (std::size_t column = 0; column < page.headers.size(); ++column) {
    std::int64_t y = bottom - static_cast<std::int64_t>(page.headers[column].size()) * line;
    for (const std::string& text : page.headers[column]) {
      canvas.text_centred(page.column_left(column) + page.cell_width / 2, y, text, page.styles.bold);
      y += line;
    }
  }
}

void draw_row(Canvas& canvas, const GridPage& page, std::size_t r, std::int64_t y) {
  const RowText& text = page.texts[r];
  std::int64_t text_y = y + (page.row_heights[r] - text.height) / 2;
  const auto write = [&](const std::vector<std::string>& lines, const TextStyle& style) {
    for (const std::string& line : lines) {
      canvas.text_right(page.labels_right, text_y, line, style);
      text_y += line_height(page.styles);
    }
  };
  write(text.label, page.styles.bold);
  write(text.detail, page.styles.faint);
  for (std::size_t column = 0; column < page.cells[r].size(); ++column) {
    const Figure& figure = page.cells[r][column];
    if (figure.empty()) continue;
    const std::int64_t x = page.column_left(column) + (page.cell_width - figure.width()) / 2;
    const std::int64_t top = y + (page.row_heights[r] - figure.height()) / 2;
    canvas.place(figure, x, top);
    canvas.frame(x, top, figure.width(), figure.height(), look::line);
    canvas.text_centred(x + figure.width() / 2, top + figure.height() + 4 * page.options.text_scale,
                        page.captions[r][column], page.styles.faint);
  }
}

}  // namespace

Figure grid_figure(std::span<const std::string> methods, std::span<const GridRow> rows,
                   const GridOptions& options) {
  const std::int64_t scale = options.text_scale;
  if (methods.empty() || rows.empty() || scale < 1 || scale > 16 || options.cell_size < 0)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "[grid] needs at least one method and one row, a text scale of 1..16 and a cell size of at "
            "least 0; there are {} methods, {} rows, scale {}, cell size {}",
            methods.size(), rows.size(), scale, options.cell_size));
  const Maps maps(methods, rows, options);
  const bool inputs = std::ranges::any_of(rows, [](const GridRow& row) { return !row.input.empty(); });
  const bool one_limit = options.scope == LimitScope::grid || options.heatmap.limit;
  const std::string sign = options.heatmap.colors().diverging() ? "\xc2\xb1" : "";

  GridPage page(options);
  page.cells = cells_of(methods, rows, maps, inputs, options.cell_size);
  page.caption_height = one_limit ? 0 : text_height(page.styles.faint) + 4 * scale;
  std::vector<std::string> headers(methods.begin(), methods.end());
  if (inputs) headers.insert(headers.begin(), options.input_header);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    page.captions.emplace_back(headers.size());
    for (std::size_t m = 0; !one_limit && m < methods.size(); ++m)
      page.captions[r][m + (inputs ? 1 : 0)] = sign + look::number(maps.limit(r, m));
  }
  place_cells(page, rows);
  place_rest(page, headers, inputs);

  Canvas canvas(page.width, page.height, look::page);
  canvas.text(page.margin, page.margin,
              shortened(options.title, page.width - 2 * page.margin, page.styles.bold), page.styles.bold);
  draw_headers(canvas, page);
  std::int64_t y = page.margin + page.title_height + page.header_height;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    draw_row(canvas, page, r, y);
    y += page.row_heights[r] + page.caption_height + page.gap;
  }
  draw_color_bar(canvas, page.legend_centre, page.legend_y, options, page.styles, maps.largest());
  return std::move(canvas).figure();
}

Picture grid(std::span<const std::string> methods, std::span<const GridRow> rows,
             const GridOptions& options) {
  return grid_figure(methods, rows, options).picture();
}

}  // namespace rulegrad::io
