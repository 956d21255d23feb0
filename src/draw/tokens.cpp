#include "rulegrad/draw/tokens.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

#include "draw/base64.hpp"
#include "draw/drawing.hpp"
#include "draw/page_template.hpp"

namespace rulegrad::io {
namespace {

void check(const TokenMap& map) {
  if (map.tokens.size() != map.values.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("[tokens] '{}' has {} tokens and {} values",
                                                         map.method, map.tokens.size(), map.values.size()));
  for (std::size_t i = 0; i < map.values.size(); ++i)
    if (!std::isfinite(map.values[i]))
      throw Error(ErrorCode::non_finite, fmt::format("[tokens] the value of token {} ('{}') is {}", i,
                                                     map.tokens[i], map.values[i]));
}

double limit_of(const TokenMap& map, const TokenOptions& options) {
  if (options.limit) return *options.limit;
  double largest = 0;
  for (const double value : map.values) largest = std::max(largest, std::abs(value));
  return largest > 0 ? largest : 1;
}

std::string shown(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool high = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                      static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (high)
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if (c < 0x20 || c == 0x7f)
      result += fmt::format("\\x{:02x}", c);
    else
      result += text[i];
  }
  return result;
}

/// As it may stand in a page, with what a terminal would obey made visible.
std::string html(std::string_view text) {
  return markup_text(shown(text));
}

}  // namespace

std::string tokens_html(std::span<const TokenMap> maps, const std::string& title,
                        const TokenOptions& options) {
  const ColorMap colors = ColorMap::named(options.colormap);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>\n"
      "body {{ font: 16px/2 sans-serif; max-width: 60em; margin: 2em auto; color: #22262e; background: #fff; "
      "}}\n"
      "h2 {{ font-size: 1em; margin: 1.5em 0 0; }}\nh3 {{ font-size: .85em; font-weight: normal; color: "
      "#6b7280; margin: .5em 0 0; }}\n"
      "span {{ padding: .15em .2em; border-radius: .2em; white-space: pre-wrap; "
      "}}\n</style>\n</head>\n<body>\n<h1>{0}</h1>\n<h3>{1}</h3>\n",
      html(title), page_template::legend);
  const std::string* last = nullptr;
  for (const TokenMap& map : maps) {
    check(map);
    const double limit = limit_of(map, options);
    if (last == nullptr || *last != map.title) page += fmt::format("<h2>{}</h2>\n", html(map.title));
    last = &map.title;
    double sum = 0;
    for (const double value : map.values) sum += value;
    page += fmt::format("<h3>{}: sum {:.4g}, full colour at {:.4g}</h3>\n<p>", html(map.method), sum, limit);
    for (std::size_t i = 0; i < map.tokens.size(); ++i) {
      const Rgb color = colors(std::clamp(map.values[i] / limit, -1.0, 1.0));
      page += fmt::format("<span style=\"{}\" title=\"{:.4g}\">{}</span>\n", look::style_on(color),
                          map.values[i], html(map.tokens[i]));
    }
    page += "</p>\n";
  }
  return page + "</body>\n</html>\n";
}

std::string tokens_line(const TokenMap& map, const TokenOptions& options) {
  check(map);
  const ColorMap colors = ColorMap::named(options.colormap);
  const double limit = limit_of(map, options);
  std::string line;
  for (std::size_t i = 0; i < map.tokens.size(); ++i) {
    const Rgb color = colors(std::clamp(map.values[i] / limit, -1.0, 1.0));
    line += fmt::format("{}\x1b[48;2;{};{};{}m\x1b[{}m{}\x1b[0m", i == 0 ? "" : " ", color[0], color[1],
                        color[2], look::dark(color) ? 97 : 30, shown(map.tokens[i]));
  }
  return line;
}

}  // namespace rulegrad::io
