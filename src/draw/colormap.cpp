#include "rulegrad/draw/colormap.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad::io {

/// Colours at equal steps of |t|, from white outwards; interpolated linearly in sRGB.
struct ColorMap::Anchors {
  std::string_view name;
  std::vector<std::uint32_t> positive;
  std::vector<std::uint32_t> negative;  // empty for sequential maps
};

// `rulegrad` and `heat` were laid out in Oklab: lightness in equal steps (1 to 0.34 and 0.25), the hue
// turning slowly, the chroma as large as sRGB allows up to a smooth bound.
const std::vector<ColorMap::Anchors>& ColorMap::registry() {
  static const std::vector<Anchors> maps{
      {"rulegrad",
       {0xffffff, 0xffdbcf, 0xffb49f, 0xff886d, 0xf6593f, 0xdf2f1f, 0xbf000c, 0x950111, 0x6e010f},
       {0xffffff, 0xcfe7fe, 0x9eceff, 0x6db3ff, 0x3997fc, 0x157ae8, 0x005ecb, 0x0045a8, 0x032e84}},
      {"seismic", {0xffffff, 0xff0000, 0x800000}, {0xffffff, 0x0000ff, 0x00004d}},
      {"gray", {0xffffff, 0x000000}, {}},
      {"heat",
       {0xffffff, 0xf3dfa8, 0xecb85d, 0xe19002, 0xc66e00, 0xa94e01, 0x8d2e00, 0x700300, 0x46000c},
       {}},
  };
  return maps;
}

ColorMap ColorMap::named(std::string_view name) {
  for (const Anchors& anchors : registry())
    if (anchors.name == name) return ColorMap({std::shared_ptr<const void>(), &anchors});
  throw Error(ErrorCode::unknown_name, unknown_name_message("colour map", name, names()));
}

ColorMap ColorMap::of(std::span<const std::uint32_t> positive, std::span<const std::uint32_t> negative) {
  if (positive.size() < 2 || negative.size() == 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[colour map] it needs at least two colours a side but has {} and {}",
                            positive.size(), negative.size()));
  return ColorMap(std::make_shared<const Anchors>(
      Anchors{"", {positive.begin(), positive.end()}, {negative.begin(), negative.end()}}));
}

std::vector<std::string> ColorMap::names() {
  std::vector<std::string> result;
  for (const Anchors& anchors : registry()) result.emplace_back(anchors.name);
  return result;
}

bool ColorMap::diverging() const {
  return !anchors_->negative.empty();
}

Rgb ColorMap::operator()(double t) const {
  const auto& colors = t < 0.0 && diverging() ? anchors_->negative : anchors_->positive;
  const double position = std::min(std::abs(t), 1.0) * static_cast<double>(colors.size() - 1);
  const std::size_t below = std::min(static_cast<std::size_t>(position), colors.size() - 2);
  const double fraction = position - static_cast<double>(below);
  Rgb result{};
  for (std::size_t c = 0; c < 3; ++c) {
    const auto part = [&](std::size_t i) { return static_cast<double>(colors[i] >> (16 - 8 * c) & 0xFFU); };
    result[c] = static_cast<std::uint8_t>(part(below) + fraction * (part(below + 1) - part(below)) + 0.5);
  }
  return result;
}

}  // namespace rulegrad::io
