#include <array>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/draw/figure.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/canvas.hpp"
#include "draw/font.hpp"

#ifdef RULEGRAD_HAVE_ZLIB
#include <zlib.h>
#endif

namespace rulegrad::io {
namespace {

/// Widths of Helvetica from space to tilde, in thousandths of the font's size (Adobe's metrics of the 14
/// standard fonts).
constexpr std::array<int, 95> helvetica{
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333,  278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667,  611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278,  556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500,  500, 334, 260, 334, 584};
/// Of letters beyond these; the line is stretched to its width anyhow.
constexpr int other_width = 556;

/// The byte of WinAnsiEncoding (ISO 32000-1, annex D.2), or none.
std::optional<unsigned char> letter(char32_t point) {
  if ((point >= 32 && point < 127) || (point >= 0xa0 && point < 0x100))
    return static_cast<unsigned char>(point);
  switch (point) {
    case 0x2212:  // minus, which Helvetica draws as the dash of its width
    case 0x2013:
      return 0x96;
    case 0x2014:
      return 0x97;
    case 0x2018:
      return 0x91;
    case 0x2019:
      return 0x92;
    case 0x201c:
      return 0x93;
    case 0x201d:
      return 0x94;
    case 0x2022:
      return 0x95;
    case 0x2026:
      return 0x85;
    case 0x20ac:
      return 0x80;
    default:
      return std::nullopt;
  }
}

std::string color(const Rgb& rgb, const char* operation) {
  return fmt::format("{:.4f} {:.4f} {:.4f} {}\n", rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0, operation);
}

/// By hand, as a figure needs rectangles, lines, text and pictures alone, and is the same bytes on every machine:
/// cairo's hang on its version and on the fonts that are installed.
class Pdf {
 public:
  Pdf(std::int64_t width, std::int64_t height) : width_(width), height_(height) {}

  void draw(const Shape& shape) {
    switch (shape.kind) {
      case Shape::Kind::fill:
        content_ += color(shape.color, "rg") +
                    fmt::format("{} {} {} {} re f\n", shape.x, shape.y, shape.width, shape.height);
        break;
      case Shape::Kind::picture:
        content_ += fmt::format("q {} 0 0 {} {} {} cm /P{} Do Q\n", shape.width, -shape.height, shape.x,
                                shape.y + shape.height, pictures_.size());
        pictures_.push_back(shape.picture);
        break;
      case Shape::Kind::line:
        content_ += color(shape.color, "RG") + fmt::format("{:.2f} w 1 J 1 j\n", shape.thickness);
        for (std::size_t i = 0; i < shape.points.size(); ++i)
          content_ +=
              fmt::format("{:.2f} {:.2f} {}\n", shape.points[i].x, shape.points[i].y, i == 0 ? 'm' : 'l');
        if (!shape.points.empty()) content_ += "S\n";
        break;
      case Shape::Kind::text:
        text(shape);
        break;
    }
  }

  std::string whole() {
    // Catalogue, pages, the page, what it shows, two fonts, then the pictures.
    std::string images;
    for (std::size_t i = 0; i < pictures_.size(); ++i) images += fmt::format("/P{} {} 0 R ", i, 7 + i);
    object("<< /Type /Catalog /Pages 2 0 R >>");
    object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    object(
        fmt::format("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {} {}] /Contents 4 0 R /Resources << /Font "
                    "<< /F0 5 0 R /F1 6 0 R >> /XObject << {}>> >> >>",
                    width_, height_, images));
    stream("", fmt::format("1 0 0 -1 0 {} cm\n", height_) + content_);
    for (const char* font : {"Helvetica", "Helvetica-Bold"})
      object(fmt::format("<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>", font));
    for (const auto& picture : pictures_)
      stream(
          fmt::format("/Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace /{} /BitsPerComponent "
                      "8 /Interpolate false ",
                      picture->width, picture->height, picture->channels == 1 ? "DeviceGray" : "DeviceRGB"),
          {reinterpret_cast<const char*>(picture->pixels.data()), picture->pixels.size()});
    const std::size_t table = text_.size();
    text_ += fmt::format("xref\n0 {}\n0000000000 65535 f \n", places_.size() + 1);
    for (const std::size_t place : places_) text_ += fmt::format("{:010} 00000 n \n", place);
    return text_ + fmt::format("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{}\n%%EOF\n",
                               places_.size() + 1, table);
  }

 private:
  void text(const Shape& shape) {
    std::string letters;
    double natural = 0;
    for (const char32_t point : code_points(shape.text)) {
      const auto byte = letter(point);
      if (!byte) return dots(shape);
      natural += *byte >= 32 && *byte < 127 ? helvetica[*byte - 32U] : other_width;
      if (*byte == '(' || *byte == ')' || *byte == '\\') letters += '\\';
      letters += static_cast<char>(*byte);
    }
    const double size = font_size * static_cast<double>(shape.style.scale);
    const double stretch =
        natural > 0 ? 100 * static_cast<double>(shape.width) / (natural / 1000 * size) : 100;
    content_ += color(shape.color, "rg") +
                fmt::format("BT /F{} {:.2f} Tf {:.2f} Tz 1 0 0 -1 {} {} Tm (", shape.style.bold ? 1 : 0, size,
                            stretch, shape.x, shape.y + base_line * shape.style.scale) +
                letters + ") Tj ET\n";
  }

  /// Letters that Helvetica has not: the dots of the font that figures are drawn with.
  void dots(const Shape& shape) {
    content_ += color(shape.color, "rg");
    const std::int64_t scale = shape.style.scale, bold = shape.style.bold ? 1 : 0;
    std::int64_t x = shape.x;
    for (const char32_t point : code_points(shape.text)) {
      const Glyph& drawn = glyph(point);
      for (std::int64_t row = 0; row < glyph_height; ++row)
        for (std::int64_t column = 0; column < drawn.width; ++column)
          if ((drawn.rows[static_cast<std::size_t>(row)] >> (7 - column) & 1U) != 0)
            content_ += fmt::format("{} {} {} {} re\n", x + column * scale, shape.y + row * scale,
                                    (1 + bold) * scale, scale);
      x += (drawn.width + bold + 1) * scale;
    }
    content_ += "f\n";
  }

  void object(const std::string& body) {
    places_.push_back(text_.size());
    text_ += fmt::format("{} 0 obj\n", places_.size()) + body + "\nendobj\n";
  }
  void stream(const std::string& entries, std::string_view bytes) {
    std::string kept(bytes), filter;
#ifdef RULEGRAD_HAVE_ZLIB
    uLongf size = compressBound(static_cast<uLong>(bytes.size()));
    kept.resize(size);
    if (compress2(reinterpret_cast<Bytef*>(kept.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                  static_cast<uLong>(bytes.size()), 6) != Z_OK)
      throw Error(ErrorCode::internal, "[pdf] zlib could not compress what the page shows");
    kept.resize(size);
    filter = "/Filter /FlateDecode ";
#endif
    object(fmt::format("<< {}{}/Length {} >>\nstream\n", entries, filter, kept.size()) + kept +
           "\nendstream");
  }

  std::int64_t width_, height_;
  std::string content_, text_ = "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n";
  std::vector<std::shared_ptr<const Picture>> pictures_;
  std::vector<std::size_t> places_;
};

}  // namespace

std::string Figure::pdf() const {
  if (empty()) throw Error(ErrorCode::invalid_argument, "[pdf] the figure is empty");
  Pdf pdf(width(), height());
  for (const Shape& shape : shapes_->all) pdf.draw(shape);
  return pdf.whole();
}

}  // namespace rulegrad::io
