#include "rulegrad/draw/figure.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <span>
#include <utility>

#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/base64.hpp"
#include "draw/canvas.hpp"
#include "draw/drawing.hpp"
#include "draw/font.hpp"
#include "files/codec.hpp"

namespace rulegrad::io {
namespace {

std::string hex(const Rgb& color) {
  return fmt::format("#{:02x}{:02x}{:02x}", color[0], color[1], color[2]);
}

/// The colours of a page by day and by night.
constexpr std::array<std::pair<Rgb, Rgb>, 6> nights{{{look::page, {0x15, 0x18, 0x1c}},
                                                     {look::panel, {0x1d, 0x21, 0x26}},
                                                     {look::ink, {0xe6, 0xe9, 0xee}},
                                                     {look::faint_ink, {0x9a, 0xa3, 0xad}},
                                                     {look::line, {0x3a, 0x40, 0x48}},
                                                     {look::faint_line, {0x2a, 0x2f, 0x36}}}};

}  // namespace

Figure::Figure(Picture picture, std::int64_t factor) {
  auto shapes = std::make_shared<Shapes>();
  shapes->width = picture.width * factor;
  shapes->height = picture.height * factor;
  Shape& shape = shapes->all.emplace_back();
  shape.kind = Shape::Kind::picture;
  shape.width = shape.clip_right = shapes->width;
  shape.height = shape.clip_bottom = shapes->height;
  shape.factor = factor;
  shape.picture = std::make_shared<const Picture>(std::move(picture));
  shapes_ = std::move(shapes);
}

std::int64_t Figure::width() const {
  return shapes_ == nullptr ? 0 : shapes_->width;
}
std::int64_t Figure::height() const {
  return shapes_ == nullptr ? 0 : shapes_->height;
}

Figure Figure::dark() const {
  if (shapes_ == nullptr) return {};
  auto shapes = std::make_shared<Shapes>(*shapes_);
  for (Shape& shape : shapes->all) {
    if (shape.means_number) continue;
    if (const auto night = std::ranges::find(nights, shape.color, &std::pair<Rgb, Rgb>::first);
        night != nights.end())
      shape.color = night->second;
  }
  return Figure(std::move(shapes));
}

std::string Figure::svg() const {
  return svg_text(*this, " xmlns=\"http://www.w3.org/2000/svg\"");
}

std::string svg_text(const Figure& figure, std::string_view attributes) {
  std::string text = fmt::format("<svg{2} width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n",
                                 figure.width(), figure.height(), attributes);
  if (figure.shapes() == nullptr) return text + "</svg>\n";
  for (const Shape& shape : figure.shapes()->all) switch (shape.kind) {
      case Shape::Kind::fill:
        text += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" "
            "shape-rendering=\"crispEdges\"/>\n",
            shape.x, shape.y, shape.width, shape.height, hex(shape.color));
        break;
      case Shape::Kind::picture:
        text += fmt::format(
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" "
            "style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>\n",
            shape.x, shape.y, shape.width, shape.height, base64(encode_png(*shape.picture, "a drawing")));
        break;
      case Shape::Kind::line: {
        std::string points;
        for (const Point& point : shape.points)
          points += fmt::format("{}{:.2f},{:.2f}", points.empty() ? "" : " ", point.x, point.y);
        text += fmt::format(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:.2f}\" "
            "stroke-linecap=\"round\" stroke-linejoin=\"round\"/>\n",
            points, hex(shape.color), shape.thickness);
        break;
      }
      case Shape::Kind::text:
        text += fmt::format(
            "<text x=\"{}\" y=\"{}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{}\"{} "
            "fill=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>\n",
            shape.x, shape.y + base_line * shape.style.scale,
            font_size * static_cast<double>(shape.style.scale),
            shape.style.bold ? " font-weight=\"bold\"" : "", hex(shape.color), shape.width,
            markup_text(shape.text));
        break;
    }
  return text + "</svg>\n";
}

void write_figure(const std::string& path, const Figure& figure) {
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".png") return write_png(path, figure.picture());
  if (ending == ".svg") return write_text(path, figure.svg());
  if (ending == ".pdf") return write_text(path, figure.pdf());
  throw Error(ErrorCode::invalid_argument,
              fmt::format("[write_figure] '{}' ends in '{}'; figures are .png, .svg or .pdf", path, ending));
}

}  // namespace rulegrad::io
