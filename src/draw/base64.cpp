#include "draw/base64.hpp"

#include <cstdint>

namespace rulegrad::io {

std::string markup_text(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if (c == '\'')
      result += "&#x27;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
      result += "\xef\xbf\xbd";
    else
      result += c;
  }
  return result;
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return k < bytes.size() ? std::to_integer<std::uint32_t>(bytes[k]) : 0U;
    };
    const std::uint32_t three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    result += letters[three >> 18];
    result += letters[three >> 12 & 63];
    result += i + 1 < bytes.size() ? letters[three >> 6 & 63] : '=';
    result += i + 2 < bytes.size() ? letters[three & 63] : '=';
  }
  return result;
}

}  // namespace rulegrad::io
