#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "draw/canvas.hpp"
#include "draw/font.hpp"

namespace rulegrad::io {
namespace {

double distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

/// Turns shapes into pixels, one after the other.
class Raster {
 public:
  Raster(std::int64_t width, std::int64_t height) : picture_(width, height, 3) {}

  void draw(const Shape& shape) {
    left_ = shape.clip_left;
    top_ = shape.clip_top;
    right_ = shape.clip_right;
    bottom_ = shape.clip_bottom;
    switch (shape.kind) {
      case Shape::Kind::fill:
        return fill(shape.x, shape.y, shape.width, shape.height, shape.color);
      case Shape::Kind::picture:
        return place(shape.factor == 1 ? *shape.picture : magnified(*shape.picture, shape.factor), shape.x,
                     shape.y);
      case Shape::Kind::line:
        return line(shape.points, shape.thickness, shape.color);
      case Shape::Kind::text:
        return text(shape.x, shape.y, shape.text, shape.style, shape.color);
    }
  }
  [[nodiscard]] Picture take() && { return std::move(picture_); }

 private:
  void fill(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color) {
    const std::int64_t first = std::max(x, left_), last = std::min(x + width, right_);
    for (std::int64_t row = std::max(y, top_); row < std::min(y + height, bottom_); ++row)
      for (std::int64_t column = first; column < last; ++column)
        std::copy(color.begin(), color.end(), &picture_.pixels[picture_.index(column, row)]);
  }

  void place(const Picture& picture, std::int64_t x, std::int64_t y) {
    const std::int64_t first = std::max(x, left_), last = std::min(x + picture.width, right_);
    for (std::int64_t row = std::max(y, top_); first < last && row < std::min(y + picture.height, bottom_);
         ++row) {
      const std::uint8_t* from = &picture.pixels[picture.index(first - x, row - y)];
      std::uint8_t* to = &picture_.pixels[picture_.index(first, row)];
      if (picture.channels == 3) {
        std::copy_n(from, 3 * (last - first), to);
      } else {
        for (std::int64_t column = first; column < last; ++column, ++from) to = std::fill_n(to, 3, *from);
      }
    }
  }

  void line(std::span<const Point> points, double thickness, Rgb color) {
    // How much of each pixel the line covers is gathered first, so that joints are not painted twice.
    const std::int64_t across = right_ - left_;
    if (across <= 0 || bottom_ <= top_) return;
    std::vector<float> covered(static_cast<std::size_t>(across * (bottom_ - top_)));
    const double reach = thickness / 2 + 1;
    const auto first = [&](double a, double b, std::int64_t least) {
      return std::max(least, static_cast<std::int64_t>(std::floor(std::min(a, b) - reach)));
    };
    const auto last = [&](double a, double b, std::int64_t most) {
      return std::min(most - 1, static_cast<std::int64_t>(std::ceil(std::max(a, b) + reach)));
    };
    for (std::size_t k = 1; k < points.size(); ++k) {
      const Point a = points[k - 1], b = points[k];
      for (std::int64_t y = first(a.y, b.y, top_); y <= last(a.y, b.y, bottom_); ++y)
        for (std::int64_t x = first(a.x, b.x, left_); x <= last(a.x, b.x, right_); ++x) {
          const double off = distance({static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5}, a, b);
          float& cover = covered[static_cast<std::size_t>((y - top_) * across + x - left_)];
          cover = std::max(cover, static_cast<float>(std::clamp(thickness / 2 + 0.5 - off, 0.0, 1.0)));
        }
    }
    for (std::int64_t y = top_; y < bottom_; ++y)
      for (std::int64_t x = left_; x < right_; ++x) {
        const float cover = covered[static_cast<std::size_t>((y - top_) * across + x - left_)];
        for (std::size_t c = 0; c < 3 && cover > 0; ++c) {
          std::uint8_t& pixel = picture_.pixels[picture_.index(x, y) + c];
          pixel = static_cast<std::uint8_t>(
              std::lround(static_cast<float>(pixel) +
                          cover * (static_cast<float>(color[c]) - static_cast<float>(pixel))));
        }
      }
  }

  void text(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style, Rgb color) {
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
            fill(left, top, scale, scale, color);
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
                     length, 1, color);
              }
            }
        }
      x += (shape.width + bold + 1) * scale;
    }
  }

  Picture picture_;
  std::int64_t left_ = 0, top_ = 0, right_ = 0, bottom_ = 0;  ///< what may be drawn on
};

}  // namespace

Picture Figure::picture() const {
  if (empty()) return {};
  const auto& all = shapes_->all;
  if (all.size() == 1 && all[0].kind == Shape::Kind::picture)
    return magnified(*all[0].picture, all[0].factor);
  Raster raster(width(), height());
  for (const Shape& shape : all) raster.draw(shape);
  return std::move(raster).take();
}

}  // namespace rulegrad::io
