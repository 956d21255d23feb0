#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// Red, green and blue, 0 to 255.
using Rgb = std::array<std::uint8_t, 3>;

/// Colours for numbers in -1..1, where 0 is exactly white in every map.
///
///     rulegrad   diverging: deep blue - white - deep red; the lightness falls evenly and alike on both sides
///     seismic    diverging: the map of that name known from matplotlib
///     gray       sequential: white to black by |t|
///     heat       sequential: white, sand, orange, brown by |t|, the lightness falling evenly
class ColorMap {
 public:
  /// Error(unknown_name) names the nearest map.
  [[nodiscard]] static ColorMap named(std::string_view name);
  /// A map of one's own: colours 0xRRGGBB at equal steps of |t|, from 0 outwards, for positive and for
  /// negative numbers; without negative ones the map shows the magnitude. At least two of each;
  /// Error(invalid_argument) otherwise.
  [[nodiscard]] static ColorMap of(std::span<const std::uint32_t> positive,
                                   std::span<const std::uint32_t> negative = {});
  /// Of the maps that ship.
  [[nodiscard]] static std::vector<std::string> names();

  /// The colour of t; what lies outside -1..1 takes the colour of the nearer end.
  [[nodiscard]] Rgb operator()(double t) const;
  /// Whether negative numbers have colours of their own; sequential maps show the magnitude.
  [[nodiscard]] bool diverging() const;

 private:
  struct Anchors;
  explicit ColorMap(std::shared_ptr<const Anchors> anchors) : anchors_(std::move(anchors)) {}
  static const std::vector<Anchors>& registry();

  std::shared_ptr<const Anchors> anchors_;
};

}  // namespace io
}  // namespace rulegrad
