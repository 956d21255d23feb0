#include "cli/json.hpp"

#include <CLI/CLI.hpp>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {
namespace {

/// Control characters and what is special in JSON, escaped; bytes that are no UTF-8 as U+FFFD.
std::string escaped(std::string_view text) {
  std::string result = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += text[i];
    } else if (c < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04x}", c);
    } else if (c < 0x80) {
      result += text[i];
    } else {
      const std::size_t more = c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 && c < 0xe0 ? 1 : 0;
      bool whole = more > 0 && c < 0xf5 && i + more < text.size();
      for (std::size_t k = 1; whole && k <= more; ++k)
        whole = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
      result += whole ? std::string(text.substr(i, more + 1)) : "\\ufffd";
      if (whole) i += more;
    }
  }
  return result + '"';
}

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

Json& Json::text(std::string_view value) {
  before();
  whole_ += escaped(value);
  comma_ = true;
  return *this;
}

Json& Json::number(double value) {
  if (!std::isfinite(value)) return null();
  before();
  whole_ += shortest(value);
  comma_ = true;
  return *this;
}

Json& Json::number(std::int64_t value) {
  before();
  whole_ += fmt::format("{}", value);
  comma_ = true;
  return *this;
}

Json& Json::truth(bool value) {
  before();
  whole_ += value ? "true" : "false";
  comma_ = true;
  return *this;
}

Json& Json::null() {
  before();
  whole_ += "null";
  comma_ = true;
  return *this;
}

void Json::print() const {
  fmt::print("{}\n", whole_);
}

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print the answer as JSON");
}

}  // namespace rulegrad::cli
