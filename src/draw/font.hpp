#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rulegrad::io {

/// Letters of drawings that others set, whose capitals are nine dots high: the cap height of sans-serif fonts is some
/// 0.72 of their size.
constexpr double font_size = 12.5;
/// Their base line lies so many dots below the top.
constexpr std::int64_t base_line = 10;

/// One glyph of the bitmap font: `width` columns of ink and 12 rows, the leftmost column in the highest bit.
/// The first row is empty, capitals fill rows 1 to 9, and rows 10 and 11 are below the base line.
struct Glyph {
  std::uint8_t width;
  std::array<std::uint8_t, 12> rows;
};

inline constexpr std::int64_t glyph_height = 12;

/// The glyph of a code point: ASCII 32 to 126, a few mathematical signs and Greek letters; a box for the
/// rest.
[[nodiscard]] const Glyph& glyph(char32_t code_point);

/// The code points of UTF-8 text; broken sequences give U+FFFD.
[[nodiscard]] std::vector<char32_t> code_points(std::string_view utf8);

}  // namespace rulegrad::io
