#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/rule/rule.hpp"

#include "rewrite/value.hpp"

/// Arguments meet parameters: of rule sets and of analyzers.
namespace rulegrad {

using Arguments = std::vector<std::pair<std::string, Value>>;

/// The parameter for each given name, or by position where the name is empty. Throws Error(unknown_name) for
/// names that `owner` does not have, with the nearest one, and Error(rule) for too many.
[[nodiscard]] std::vector<std::string> names_of_arguments(const std::string& owner,
                                                          const std::vector<Parameter>& parameters,
                                                          const std::vector<std::string>& given);

/// Throws Error(invalid_argument) unless the value is a number in the parameter's range, if it has one.
void check_range(const std::string& owner, const Parameter& parameter, const Value& value);

/// Throws Error(invalid_argument) that says which parameter must be given.
[[noreturn]] void fail_missing(const std::string& owner, const Parameter& parameter);

/// `[2, 3]` as a list; nothing for other texts.
[[nodiscard]] std::optional<AttrValue> list_from(std::string_view text);

}  // namespace rulegrad
