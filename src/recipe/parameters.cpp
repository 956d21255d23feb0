#include "recipe/parameters.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "rule/number_range.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {}  // namespace

std::vector<std::string> names_of_arguments(const std::string& owner,
                                            const std::vector<Parameter>& parameters,
                                            const std::vector<std::string>& given) {
  std::vector<std::string> known, result;
  for (const Parameter& parameter : parameters) known.push_back(parameter.name);
  if (given.size() > known.size() &&
      std::all_of(given.begin(), given.end(), [](const auto& name) { return name.empty(); }))
    throw Error(ErrorCode::rule, fmt::format("'{}' takes {} parameters but {} arguments were given", owner,
                                             known.size(), given.size()));
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& name = given[i].empty() && i < known.size() ? known[i] : given[i];
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Error(ErrorCode::unknown_name,
                  fmt::format("{}: {}", owner,
                              known.empty() ? fmt::format("it takes no parameters, but '{}' was given", name)
                                            : unknown_name_message("parameter", name, known)));
    if (std::find(result.begin(), result.end(), name) != result.end())
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: its parameter '{}' is given twice", owner, name));
    result.push_back(name);
  }
  return result;
}

void check_range(const std::string& owner, const Parameter& parameter, const Value& value) {
  if (!parameter.range) return;
  const auto* number = std::get_if<double>(&value);
  if (number != nullptr && contains(*parameter.range, *number)) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{}: parameter '{}' must lie in {} but is {}", owner, parameter.name,
                  range_text(*parameter.range), number != nullptr ? shortest(*number) : describe(value)));
}

void fail_missing(const std::string& owner, const Parameter& parameter) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: its parameter '{}' has no default; give {}:{}=...", owner, parameter.name,
                          owner, parameter.name));
}

std::optional<AttrValue> list_from(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
  std::vector<double> numbers;
  const char* at = text.data() + 1;
  const char* const end = text.data() + text.size() - 1;
  while (at != end) {
    while (at != end && (*at == ' ' || *at == ',')) ++at;
    if (at == end) break;
    double number = 0;
    const auto [next, problem] = std::from_chars(at, end, number);
    if (problem != std::errc()) return std::nullopt;
    numbers.push_back(number);
    at = next;
  }
  return AttrValue(std::move(numbers));
}

}  // namespace rulegrad
