#pragma once

#include <fmt/format.h>
#include <string>
#include <string_view>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/figure.hpp"

namespace rulegrad::io {

/// The element of SVG that a figure is; one that stands within a page of HTML needs no namespace.
[[nodiscard]] std::string svg_text(const Figure& figure, std::string_view attributes = {});

}  // namespace rulegrad::io

/// What charts and grids share, so that they look as if made by one hand.
namespace rulegrad::io::look {

inline constexpr Rgb page{0xf7, 0xf8, 0xfa};
inline constexpr Rgb panel{0xff, 0xff, 0xff};
inline constexpr Rgb ink{0x22, 0x26, 0x2e};
inline constexpr Rgb faint_ink{0x6b, 0x72, 0x80};
inline constexpr Rgb line{0xd4, 0xd7, 0xdc};
inline constexpr Rgb faint_line{0xe8, 0xea, 0xee};

/// Is text on the colour black, or white? By the relative luminance of sRGB, without its gamma.
inline bool dark(const Rgb& color) {
  return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2] < 110;
}

/// A background for text in HTML, and the text's own colour where the usual one could not be read.
inline std::string style_on(const Rgb& color) {
  return fmt::format("background:#{:02x}{:02x}{:02x}{}", color[0], color[1], color[2],
                     dark(color) ? ";color:#fff" : "");
}

/// Three significant digits, with a proper minus sign.
inline std::string number(double value) {
  std::string text = fmt::format("{:.3g}", value == 0.0 ? 0.0 : value);
  for (std::size_t at = text.find('-'); at != std::string::npos; at = text.find('-', at + 3))
    text.replace(at, 1, "\xe2\x88\x92");
  return text;
}

}  // namespace rulegrad::io::look
