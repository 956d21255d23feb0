#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/figure.hpp"
#include "rulegrad/files/picture.hpp"

/// By hand, because boxes, lines and text are all that pictures need: they are the same bytes on every
/// machine, which no library of fonts and antialiasing promises.
namespace rulegrad::io {

/// How text is set: each dot of the font is `scale` pixels wide; bold strokes are one dot wider.
struct TextStyle {
  Rgb color{0x22, 0x26, 0x2e};
  std::int64_t scale = 1;
  bool bold = false;
};

[[nodiscard]] std::int64_t text_height(const TextStyle& style);
[[nodiscard]] std::int64_t text_width(std::string_view utf8, const TextStyle& style);
/// The text, shortened with an ellipsis until it is at most `width` pixels wide.
[[nodiscard]] std::string shortened(std::string_view utf8, std::int64_t width, const TextStyle& style);
/// The text in lines of at most `width` pixels, the last of `most` lines shortened. Lines end at spaces;
/// inside words that are too long before '(' or after one of "_./-,:" where there is one.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view utf8, std::int64_t width, std::size_t most,
                                               const TextStyle& style);

struct Point {
  double x = 0, y = 0;
};

/// Something drawn at a place. What lies outside of the clip is cut off.
struct Shape {
  enum class Kind { fill, picture, line, text };
  Kind kind = Kind::fill;
  std::int64_t x = 0, y = 0, width = 0, height = 0;  ///< of text: the top left corner
  Rgb color{};
  bool means_number = false;  ///< the colour stands for a number, by day and by night
  std::shared_ptr<const Picture> picture{};
  std::int64_t factor = 1;  ///< each pixel of a picture is a square of so many
  std::vector<Point> points{};
  double thickness = 1;
  std::string text{};
  TextStyle style{};
  std::int64_t clip_left = 0, clip_top = 0, clip_right = 0, clip_bottom = 0;
};

struct Figure::Shapes {
  std::int64_t width = 0, height = 0;
  std::vector<Shape> all;
};

/// A figure under construction. What is drawn outside it is cut off.
class Canvas {
 public:
  Canvas(std::int64_t width, std::int64_t height, Rgb background);

  void fill(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color);
  /// With a colour of a colour map, which stays by night.
  void fill_number(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color);
  /// One pixel wide, just outside the rectangle.
  void frame(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height, Rgb color);
  void place(Picture picture, std::int64_t x, std::int64_t y, std::int64_t factor = 1);
  void place(const Figure& figure, std::int64_t x, std::int64_t y);
  /// Straight lines from point to point, `thickness` pixels wide, with smooth edges and round ends. Pixel (0,
  /// 0) has its centre at (0.5, 0.5).
  void polyline(std::span<const Point> points, double thickness, Rgb color);
  /// One line of text whose top left corner is (x, y).
  void text(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style);
  void text_centred(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style);
  /// Ends at x.
  void text_right(std::int64_t x, std::int64_t y, std::string_view utf8, const TextStyle& style);

  [[nodiscard]] Figure figure() && {
    return Figure(std::make_shared<const Figure::Shapes>(std::move(shapes_)));
  }
  [[nodiscard]] Picture take() && { return std::move(*this).figure().picture(); }

 private:
  Shape& add(Shape::Kind kind);

  Figure::Shapes shapes_;
};

/// Every pixel as a square of `factor` x `factor`.
[[nodiscard]] Picture magnified(const Picture& picture, std::int64_t factor);

}  // namespace rulegrad::io
