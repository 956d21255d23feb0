#include "draw/canvas.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "draw/font.hpp"

namespace rulegrad::io {
namespace {

constexpr std::string_view ellipsis = "\xe2\x80\xa6";

std::int64_t dots(std::span<const char32_t> text, const TextStyle& style) {
  std::int64_t width = 0;
  for (const char32_t point : text) width += glyph(point).width + (style.bold ? 2 : 1);
  return width == 0 ? 0 : width - 1;
}

/// How many bytes the UTF-8 sequence at `i` has, one for a broken one.
std::size_t sequence_length(std::string_view utf8, std::size_t i) {
  std::size_t length = 1;
  while (i + length < utf8.size() && (static_cast<unsigned char>(utf8[i + length]) & 0xC0U) == 0x80U)
    ++length;
  return length;
}

/// The longest beginning that fits, in bytes; at least one character.
std::size_t fitting_bytes(std::string_view text, std::int64_t width, const TextStyle& style) {
  std::size_t fits = 0;
  while (fits < text.size()) {
    const std::size_t next = fits + sequence_length(text, fits);
    if (fits != 0 && text_width(text.substr(0, next), style) > width) break;
    fits = next;
  }
  return fits;
}

/// Where to end a line that must be broken within the first `fits` bytes.
std::size_t break_point(std::string_view text, std::size_t fits) {
  if (fits == text.size() || text[fits] == ' ' || text[fits] == '(') return fits;
  if (const std::size_t space = text.substr(0, fits).rfind(' ');
      space != std::string_view::npos && space != 0)
    return space;
  if (const std::size_t bracket = text.substr(0, fits).rfind('(');
      bracket != std::string_view::npos && bracket != 0)
    return bracket;
  const std::size_t joint = text.substr(0, fits).find_last_of("_./-,:");
  return joint == std::string_view::npos ? fits : joint + 1;
}

}  // namespace

std::int64_t text_height(const TextStyle& style) {
  return glyph_height * style.scale;
}

std::int64_t text_width(std::string_view utf8, const TextStyle& style) {
  return dots(code_points(utf8), style) * style.scale;
}

std::string shortened(std::string_view utf8, std::int64_t width, const TextStyle& style) {
  if (text_width(utf8, style) <= width) return std::string(utf8);
  std::string best(ellipsis);
  for (std::size_t i = 0; i < utf8.size();) {
    i += sequence_length(utf8, i);
    std::string_view kept = utf8.substr(0, i);
    while (kept.ends_with(' ')) kept.remove_suffix(1);
    std::string candidate = std::string(kept) + std::string(ellipsis);
    if (text_width(candidate, style) > width) break;
    best = std::move(candidate);
  }
  return best;
}

std::vector<std::string> wrapped(std::string_view utf8, std::int64_t width, std::size_t most,
                                 const TextStyle& style) {
  std::vector<std::string> lines;
  while (!utf8.empty()) {
    if (lines.size() + 1 == most) {
      lines.push_back(shortened(utf8, width, style));
      break;
    }
    const std::size_t end = break_point(utf8, fitting_bytes(utf8, width, style));
    lines.emplace_back(utf8.substr(0, end));
    utf8.remove_prefix(end);
    while (utf8.starts_with(' ')) utf8.remove_prefix(1);
  }
  return lines;
}

Canvas::Canvas(std::int64_t width, std::int64_t height, Rgb background) : picture_(width, height, 3) {
  fill(0, 0, width, height, background);
}

void Canvas::fill(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
  for (std::int64_t row = std::max<std::int64_t>(y, 0); row < std::min(y + height, picture_.height); ++row)
    for (std::int64_t column = std::max<std::int64_t>(x, 0); column < std::min(x + width, picture_.width);
         ++column)
      std::copy(color.begin(), color.end(), &picture_.pixels[picture_.index(column, row)]);
}

void Canvas::frame(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
  fill(x - 1, y - 1, width + 2, 1, color);
  fill(x - 1, y + height, width + 2, 1, color);
  fill(x - 1, y, 1, height, color);
  fill(x + width, y, 1, height, color);
}

void Canvas::place(const Picture& picture, std::int64_t x, std::int64_t y) {
  for (std::int64_t row = 0; row < picture.height; ++row)
    for (std::int64_t column = 0; column < picture.width; ++column) {
      const std::int64_t last = picture.channels - 1;
      fill(x + column, y + row, 1, 1,
           {picture.at(column, row), picture.at(column, row, std::min<std::int64_t>(1, last)),
            picture.at(column, row, last)});
    }
}

namespace {

double distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

}  // namespace

void Canvas::polyline(std::span<const Point> points, double thickness, Rgb color) {
  // How much of each pixel the line covers is gathered first, so that joints are not painted twice.
  std::vector<float> covered(static_cast<std::size_t>(picture_.width * picture_.height));
  const double reach = thickness / 2 + 1;
  for (std::size_t k = 1; k < points.size(); ++k) {
    const Point a = points[k - 1], b = points[k];
    const auto left =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(std::min(a.x, b.x) - reach)));
    const auto right =
        std::min(picture_.width - 1, static_cast<std::int64_t>(std::ceil(std::max(a.x, b.x) + reach)));
    const auto top =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(std::min(a.y, b.y) - reach)));
    const auto bottom =
        std::min(picture_.height - 1, static_cast<std::int64_t>(std::ceil(std::max(a.y, b.y) + reach)));
    for (std::int64_t y = top; y <= bottom; ++y)
      for (std::int64_t x = left; x <= right; ++x) {
        const double off = distance({static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5}, a, b);
        float& cover = covered[static_cast<std::size_t>(y * picture_.width + x)];
        cover = std::max(cover, static_cast<float>(std::clamp(thickness / 2 + 0.5 - off, 0.0, 1.0)));
      }
  }
  for (std::size_t i = 0; i < covered.size(); ++i)
    for (std::size_t c = 0; c < 3 && covered[i] > 0; ++c) {
      std::uint8_t& pixel = picture_.pixels[3 * i + c];
      pixel = static_cast<std::uint8_t>(
          std::lround(static_cast<float>(pixel) +
                      covered[i] * (static_cast<float>(color[c]) - static_cast<float>(pixel))));
    }
}

void Canvas::text(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  const std::int64_t scale = style.scale, bold = style.bold ? 1 : 0;
  for (const char32_t point : code_points(utf8)) {
    const Glyph& shape = glyph(point);
    const auto ink = [&](std::int64_t column, std::int64_t row) {
      if (row < 0 || row >= glyph_height || column < 0 || column > 7 + bold) return false;
      const unsigned dots_of_row = shape.rows[static_cast<std::size_t>(row)] << 1U;
      return ((dots_of_row | (bold != 0 ? dots_of_row >> 1U : 0U)) >> (8 - column) & 1U) != 0;
    };
    for (std::int64_t row = 0; row < glyph_height; ++row)
      for (std::int64_t column = 0; column < shape.width + bold; ++column) {
        const std::int64_t left = x + column * scale, top = y + row * scale;
        if (ink(column, row)) {
          fill(left, top, scale, scale, style.color);
          continue;
        }
        // Enlarged, two dots that meet at a corner would look like stairs: the corners between them are
        // filled.
        for (const std::int64_t right : {0, 1})
          for (const std::int64_t low : {0, 1}) {
            const std::int64_t beside = column + 2 * right - 1, above = row + 2 * low - 1;
            if (!ink(beside, row) || !ink(column, above) || ink(beside, above)) continue;
            for (std::int64_t i = 0; i < scale / 2; ++i) {
              const std::int64_t length = scale / 2 - i;
              fill(right != 0 ? left + scale - length : left, low != 0 ? top + scale - 1 - i : top + i,
                   length, 1, style.color);
            }
          }
      }
    x += (shape.width + bold + 1) * scale;
  }
}

void Canvas::text_centred(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  text(x - text_width(utf8, style) / 2, y, utf8, style);
}

void Canvas::text_right(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  text(x - text_width(utf8, style), y, utf8, style);
}

Picture magnified(const Picture& picture, std::int64_t factor) {
  Picture result(picture.width * factor, picture.height * factor, picture.channels);
  for (std::int64_t y = 0; y < result.height; ++y)
    for (std::int64_t x = 0; x < result.width; ++x)
      for (std::int64_t c = 0; c < result.channels; ++c)
        result.pixels[result.index(x, y, c)] = picture.at(x / factor, y / factor, c);
  return result;
}

}  // namespace rulegrad::io
