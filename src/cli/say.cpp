#include "cli/say.hpp"

#include <cstdio>
#include <fmt/format.h>

namespace rulegrad::cli {

std::string harmless(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters of two bytes in UTF-8.
    const bool high = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                      static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (high)
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      result += fmt::format("\\x{:02x}", c);
    else
      result += text[i];
  }
  return result;
}

void say(std::string_view text) {
  fmt::print("{}", harmless(text));
}

void warn(std::string_view text) {
  fmt::print(stderr, "rulegrad: warning: {}\n", harmless(text));
}

}  // namespace rulegrad::cli
