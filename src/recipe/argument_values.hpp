#pragma once

#include <string>
#include <string_view>

#include "rulegrad/rule/rule.hpp"

#include "rewrite/value.hpp"

/// What analyzers are given, and the parameters it is for.
namespace rulegrad {

/// The word that a value is; null for a number, an array or a node.
[[nodiscard]] inline const std::string* word_of(const Value& value) {
  const auto* attribute = attribute_in(value);
  return attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
}

/// Null if there is none.
[[nodiscard]] inline const Parameter* parameter_named(const AnalyzerDefinition& definition,
                                                      std::string_view name) {
  for (const Parameter& parameter : definition.parameters)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

}  // namespace rulegrad
