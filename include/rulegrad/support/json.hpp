#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// JSON (RFC 8259): how answers for programs are written, and what a reader of manifests needs. By hand, because
/// answers are written key by key as they come: a library would bring a tree of values that nobody asks for.
namespace [[gnu::visibility("default")]] rulegrad {

/// Written from left to right: `{"key": value, ...}`. Numbers that JSON does not have are null.
class Json {
 public:
  /// `{` or `[`.
  Json& open(char bracket);
  /// `}` or `]`.
  Json& close(char bracket);
  /// The name of the value that follows, inside of `{}`.
  Json& key(std::string_view name);
  /// A string; control characters are escaped, bytes that are no UTF-8 become U+FFFD.
  Json& text(std::string_view value);
  Json& number(double value);        ///< the shortest text that reads back as the same number
  Json& number(std::int64_t value);  ///< of a count or an index
  Json& truth(bool value);           ///< true or false
  Json& null();                      ///< null
  /// A value that is JSON already.
  Json& raw(std::string_view json);

  /// What was written so far.
  [[nodiscard]] const std::string& whole() const { return whole_; }

 private:
  void before();

  std::string whole_;
  bool comma_ = false;
};

/// The members of an object in their order: names, and values as the text that stands there. Throws Error(io)
/// that says where the text is no JSON; `where` names it.
[[nodiscard]] std::vector<std::pair<std::string, std::string_view>> json_members(std::string_view object,
                                                                                 std::string_view where);
/// The items of an array, as the text that stands there. Throws likewise.
[[nodiscard]] std::vector<std::string_view> json_items(std::string_view array, std::string_view where);
/// The string that a value is. Throws likewise.
[[nodiscard]] std::string json_string(std::string_view value, std::string_view where);
/// One text for equal values: no spaces, members by name, numbers and strings in one spelling. Throws
/// likewise.
[[nodiscard]] std::string json_normal(std::string_view value, std::string_view where);

}  // namespace rulegrad
