#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace CLI {
class App;
}  // namespace CLI

namespace rulegrad::cli {

/// JSON (RFC 8259), written from left to right: `{"key": value, ...}`. Numbers that JSON does not have are
/// null.
class Json {
 public:
  Json& open(char bracket);
  Json& close(char bracket);
  Json& key(std::string_view name);
  Json& text(std::string_view value);
  Json& number(double value);
  Json& number(std::int64_t value);
  Json& truth(bool value);
  Json& null();

  /// Prints the whole, and a line end.
  void print() const;
  [[nodiscard]] const std::string& whole() const { return whole_; }

 private:
  void before();

  std::string whole_;
  bool comma_ = false;
};

void add_json_option(CLI::App& command, bool& json);

}  // namespace rulegrad::cli
