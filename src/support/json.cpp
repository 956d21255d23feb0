#include "rulegrad/support/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad {
namespace {

/// How many bytes of `text` from `at` on are one whole character beyond ASCII; 0 where they are none.
std::size_t whole_character(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char c = byte(at);
  const std::size_t more = c >= 0xf0 && c < 0xf5   ? 3
                           : c >= 0xe0 && c < 0xf0 ? 2
                           : c >= 0xc2 && c < 0xe0 ? 1
                                                   : 0;
  if (more == 0 || at + more >= text.size()) return 0;
  for (std::size_t k = 1; k <= more; ++k)
    if ((byte(at + k) & 0xc0) != 0x80) return 0;
  const unsigned char next = byte(at + 1);
  // Spellings that are too long, halves of UTF-16 pairs, and what lies beyond Unicode.
  if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next >= 0xa0) || (c == 0xf0 && next < 0x90) ||
      (c == 0xf4 && next >= 0x90))
    return 0;
  return more + 1;
}

std::string escaped(std::string_view text) {
  std::string result = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const std::size_t bytes = whole_character(text, i);
      result += bytes > 0 ? std::string(text.substr(i, bytes)) : "\\ufffd";
      i += std::max<std::size_t>(bytes, 1);
      continue;
    }
    if (c == '"' || c == '\\') {
      result += '\\';
      result += text[i];
    } else if (c < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04x}", c);
    } else {
      result += text[i];
    }
    ++i;
  }
  return result + '"';
}

void add_utf8(std::string& text, std::uint32_t point) {
  const auto add = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (point < 0x80) {
    add(point);
  } else if (point < 0x800) {
    add(0xc0 | point >> 6);
    add(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    add(0xe0 | point >> 12);
    add(0x80 | (point >> 6 & 0x3f));
    add(0x80 | (point & 0x3f));
  } else {
    add(0xf0 | point >> 18);
    add(0x80 | (point >> 12 & 0x3f));
    add(0x80 | (point >> 6 & 0x3f));
    add(0x80 | (point & 0x3f));
  }
}

/// Goes over a text and says where each value ends.
class Scanner {
 public:
  Scanner(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool ended() {
    spaces();
    return at_ == text_.size();
  }
  bool take(char c) {
    spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("'{}'", c));
  }
  void end() {
    if (!ended()) fail("the end");
  }

  std::string string() {
    expect('"');
    std::string result;
    while (true) {
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) fail("the end of a string");
      const char c = text_[at_++];
      if (c == '"') return result;
      if (c != '\\') {
        result += c;
        continue;
      }
      if (at_ >= text_.size()) fail("an escape");
      const char kind = text_[at_++];
      constexpr std::string_view names = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
      if (const std::size_t known = names.find(kind); known != std::string_view::npos) {
        result += meant[known];
      } else if (kind == 'u') {
        std::uint32_t point = unit();
        if (point >= 0xd800 && point < 0xdc00 && text_.substr(at_, 2) == "\\u") {
          at_ += 2;
          const std::uint32_t low = unit();
          if (low >= 0xdc00 && low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
          } else {
            add_utf8(result, 0xfffd);
            point = low;
          }
        }
        add_utf8(result, point >= 0xd800 && point < 0xe000 ? 0xfffd : point);
      } else {
        fail("an escape");
      }
    }
  }

  /// A value, appended to `normal` in its one spelling unless that is null.
  void value(std::string* normal, int depth = 0) {
    if (depth > 64) fail("fewer brackets inside of each other");
    spaces();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c == '{') return object(normal, depth);
    if (c == '[') return array(normal, depth);
    if (c == '"') {
      const std::string text = string();
      if (normal != nullptr) *normal += escaped(text);
      return;
    }
    for (const std::string_view word : {"true", "false", "null"})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        if (normal != nullptr) *normal += word;
        return;
      }
    double number = 0;
    const auto [next, problem] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (problem != std::errc() || !(c == '-' || (c >= '0' && c <= '9'))) fail("a value");
    at_ = static_cast<std::size_t>(next - text_.data());
    if (normal != nullptr) *normal += shortest(number);
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw Error(ErrorCode::io, fmt::format("'{}' is no JSON: expected {} at byte {}", where_, expected, at_));
  }

 private:
  void spaces() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  std::uint32_t unit() {
    std::uint32_t result = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [next, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), result, 16);
    if (problem != std::errc() || next != digits.data() + 4) fail("four hexadecimal digits");
    at_ += 4;
    return result;
  }
  void array(std::string* normal, int depth) {
    expect('[');
    if (normal != nullptr) *normal += '[';
    if (!take(']')) {
      bool more = false;
      do {
        if (more && normal != nullptr) *normal += ',';
        value(normal, depth + 1);
        more = true;
      } while (take(','));
      expect(']');
    }
    if (normal != nullptr) *normal += ']';
  }
  void object(std::string* normal, int depth) {
    expect('{');
    std::vector<std::string> members;
    if (!take('}')) {
      do {
        std::string member = escaped(string()) + ':';
        expect(':');
        value(normal == nullptr ? nullptr : &member, depth + 1);
        if (normal != nullptr) members.push_back(std::move(member));
      } while (take(','));
      expect('}');
    }
    if (normal == nullptr) return;
    std::ranges::sort(members);
    *normal += '{' + join(members, ",") + '}';
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
};

}  // namespace

void Json::before() {
  if (comma_) whole_ += ", ";
  comma_ = false;
}

Json& Json::open(char bracket) {
  before();
  whole_ += bracket;
  return *this;
}

Json& Json::close(char bracket) {
  whole_ += bracket;
  comma_ = true;
  return *this;
}

Json& Json::key(std::string_view name) {
  before();
  whole_ += escaped(name) + ": ";
  return *this;
}

Json& Json::raw(std::string_view json) {
  before();
  whole_ += json;
  comma_ = true;
  return *this;
}

Json& Json::text(std::string_view value) {
  return raw(escaped(value));
}
Json& Json::number(double value) {
  return std::isfinite(value) ? raw(shortest(value)) : null();
}
Json& Json::number(std::int64_t value) {
  return raw(fmt::format("{}", value));
}
Json& Json::truth(bool value) {
  return raw(value ? "true" : "false");
}
Json& Json::null() {
  return raw("null");
}

std::vector<std::pair<std::string, std::string_view>> json_members(std::string_view object,
                                                                   std::string_view where) {
  Scanner scan(object, where);
  std::vector<std::pair<std::string, std::string_view>> result;
  scan.expect('{');
  if (!scan.take('}')) {
    do {
      std::string name = scan.string();
      scan.expect(':');
      (void)scan.ended();  // spaces are no part of the value
      const std::size_t begin = scan.at();
      scan.value(nullptr);
      result.emplace_back(std::move(name), object.substr(begin, scan.at() - begin));
    } while (scan.take(','));
    scan.expect('}');
  }
  scan.end();
  return result;
}

std::vector<std::string_view> json_items(std::string_view array, std::string_view where) {
  Scanner scan(array, where);
  std::vector<std::string_view> result;
  scan.expect('[');
  if (!scan.take(']')) {
    do {
      (void)scan.ended();
      const std::size_t begin = scan.at();
      scan.value(nullptr);
      result.push_back(array.substr(begin, scan.at() - begin));
    } while (scan.take(','));
    scan.expect(']');
  }
  scan.end();
  return result;
}

std::string json_string(std::string_view value, std::string_view where) {
  Scanner scan(value, where);
  std::string result = scan.string();
  scan.end();
  return result;
}

std::string json_normal(std::string_view value, std::string_view where) {
  Scanner scan(value, where);
  std::string result;
  scan.value(&result);
  scan.end();
  return result;
}

}  // namespace rulegrad
