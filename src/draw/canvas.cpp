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

Shape& Canvas::add(Shape::Kind kind) {
  Shape& shape = shapes_.all.emplace_back();
  shape.kind = kind;
  shape.clip_right = shapes_.width;
  shape.clip_bottom = shapes_.height;
  return shape;
}

Canvas::Canvas(std::int64_t width, std::int64_t height, Rgb background) {
  shapes_.width = width;
  shapes_.height = height;
  fill(0, 0, width, height, background);
}

void Canvas::fill(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
  if (width <= 0 || height <= 0) return;
  Shape& shape = add(Shape::Kind::fill);
  shape.x = x;
  shape.y = y;
  shape.width = width;
  shape.height = height;
  shape.color = color;
}

void Canvas::fill_number(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
  const std::size_t before = shapes_.all.size();
  fill(x, y, width, height, color);
  if (shapes_.all.size() > before) shapes_.all.back().means_number = true;
}

void Canvas::frame(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
  fill(x - 1, y - 1, width + 2, 1, color);
  fill(x - 1, y + height, width + 2, 1, color);
  fill(x - 1, y, 1, height, color);
  fill(x + width, y, 1, height, color);
}

void Canvas::place(Picture picture, std::int64_t x, std::int64_t y, std::int64_t factor) {
  if (picture.empty()) return;
  Shape& shape = add(Shape::Kind::picture);
  shape.x = x;
  shape.y = y;
  shape.width = picture.width * factor;
  shape.height = picture.height * factor;
  shape.factor = factor;
  shape.picture = std::make_shared<const Picture>(std::move(picture));
}

void Canvas::place(const Figure& figure, std::int64_t x, std::int64_t y) {
  if (figure.empty()) return;
  for (Shape shape : figure.shapes()->all) {
    shape.x += x;
    shape.y += y;
    for (Point& point : shape.points) {
      point.x += static_cast<double>(x);
      point.y += static_cast<double>(y);
    }
    shape.clip_left = std::max<std::int64_t>(shape.clip_left + x, 0);
    shape.clip_top = std::max<std::int64_t>(shape.clip_top + y, 0);
    shape.clip_right = std::min(shape.clip_right + x, shapes_.width);
    shape.clip_bottom = std::min(shape.clip_bottom + y, shapes_.height);
    shapes_.all.push_back(std::move(shape));
  }
}

void Canvas::polyline(std::span<const Point> points, double thickness, Rgb color) {
  Shape& shape = add(Shape::Kind::line);
  shape.points.assign(points.begin(), points.end());
  shape.thickness = thickness;
  shape.color = color;
}

void Canvas::text(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  if (utf8.empty()) return;
  Shape& shape = add(Shape::Kind::text);
  shape.x = x;
  shape.y = y;
  shape.width = text_width(utf8, style);
  shape.height = text_height(style);
  shape.text = utf8;
  shape.style = style;
  shape.color = style.color;
}

void Canvas::text_centred(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  text(x - text_width(utf8, style) / 2, y, utf8, style);
}

void Canvas::text_right(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style) {
  text(x - text_width(utf8, style), y, utf8, style);
}

Picture magnified(const Picture& picture, std::int64_t factor) {
  Picture result(picture.width * factor, picture.height * factor, picture.channels);
  const auto row = static_cast<std::size_t>(result.width * result.channels);
  std::uint8_t* to = result.pixels.data();
  for (std::int64_t y = 0; y < picture.height; ++y) {
    std::uint8_t* const begin = to;
    for (std::int64_t x = 0; x < picture.width; ++x)
      for (std::int64_t copy = 0; copy < factor; ++copy)
        to = std::copy_n(&picture.pixels[picture.index(x, y)], picture.channels, to);
    for (std::int64_t copy = 1; copy < factor; ++copy) to = std::copy_n(begin, row, to);
  }
  return result;
}

}  // namespace rulegrad::io
