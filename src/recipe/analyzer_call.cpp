#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// Where the first `sought` outside of brackets stands; the size if there is none.
std::size_t find_outside(std::string_view text, char sought) {
  int open = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (open == 0 && text[i] == sought) return i;
    if (text[i] == '(' || text[i] == '[') ++open;
    if (text[i] == ')' || text[i] == ']') --open;
  }
  return text.size();
}

AnalyzerCall::Argument argument_of(std::string_view value) {
  double number = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (problem == std::errc() && end == value.data() + value.size()) return number;
  return std::string(value);
}

}  // namespace

AnalyzerCall AnalyzerCall::parse(std::string_view text) {
  AnalyzerCall call;
  const std::size_t split = std::min({text.find(':'), text.find('('), text.size()});
  call.name = std::string(trimmed(text.substr(0, split)));
  std::string_view rest = split == text.size() ? std::string_view() : text.substr(split + 1);
  if (std::count(text.begin(), text.end(), '(') != std::count(text.begin(), text.end(), ')'))
    throw Error(ErrorCode::invalid_argument, fmt::format("method '{}': a bracket is not closed", text));
  const bool brackets = split != text.size() && text[split] == '(';
  if (brackets) {
    rest = trimmed(rest);
    if (!rest.ends_with(')'))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("method '{}': nothing may stand behind the brackets of '{}'", text, call.name));
    rest.remove_suffix(1);
  }
  while (!trimmed(rest).empty()) {
    const std::size_t comma = find_outside(rest, ',');
    const std::string_view part = trimmed(rest.substr(0, comma));
    const std::size_t equals = find_outside(part, '=');
    const bool named = equals < part.size();
    if (part.empty() || (!named && !brackets) || (named && (equals == 0 || equals + 1 == part.size())))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("method '{}': '{}' should read key=value, as in {}:epsilon=0.1", text, part,
                              call.name));
    const std::string_view value = named ? trimmed(part.substr(equals + 1)) : part;
    call.arguments.emplace_back(named ? std::string(trimmed(part.substr(0, equals))) : std::string(),
                                argument_of(value));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return call;
}

}  // namespace rulegrad
