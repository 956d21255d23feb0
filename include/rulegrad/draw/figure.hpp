#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rulegrad/files/picture.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// What was drawn: pictures, rectangles, lines and text at their places, before it becomes pixels, a drawing
/// or a page. A value; copies share everything.
class Figure {
 public:
  struct Shapes;  ///< not for programs

  /// 0 pixels wide and high.
  Figure() = default;
  /// A picture alone, each of its pixels a square of `factor` x `factor`.
  explicit Figure(Picture picture, std::int64_t factor = 1);
  /// Not for programs.
  explicit Figure(std::shared_ptr<const Shapes> shapes) : shapes_(std::move(shapes)) {}

  [[nodiscard]] std::int64_t width() const;   ///< in pixels
  [[nodiscard]] std::int64_t height() const;  ///< in pixels
  /// Nothing was drawn.
  [[nodiscard]] bool empty() const { return width() == 0 || height() == 0; }

  /// The same for a dark page: paper, ink and lines change, pictures and the colours of bars stay.
  [[nodiscard]] Figure dark() const;

  /// As pixels.
  [[nodiscard]] Picture picture() const;
  /// As SVG 1.1: text stays text, pictures travel inside as PNG. Error(missing_feature) without libpng where
  /// it holds pictures.
  [[nodiscard]] std::string svg() const;
  /// As a page of PDF 1.4 (ISO 32000-1), a point a pixel: text stays text, in Helvetica, whatever of it that
  /// has letters for it.
  [[nodiscard]] std::string pdf() const;

  /// Not for programs.
  [[nodiscard]] const Shapes* shapes() const { return shapes_.get(); }

 private:
  std::shared_ptr<const Shapes> shapes_;
};

/// Writes a `.png`, `.svg` or `.pdf` file by its ending, whole or not at all. Error(invalid_argument) for
/// other endings, Error(io).
void write_figure(const std::string& path, const Figure& figure);

}  // namespace io
}  // namespace rulegrad
