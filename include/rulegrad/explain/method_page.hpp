#pragma once

#include <string>
#include <string_view>

#include "rulegrad/recipe/rule_library.hpp"

/// Pages of the documentation, made from what they document so that they cannot say anything else.
namespace [[gnu::visibility("default")]] rulegrad {

/// A method in Markdown: what its rule file says of it, parameters with ranges and defaults, declared
/// properties, what happens to operators without a rule, and its rules as text. Throws Error(unknown_name).
[[nodiscard]] std::string method_page(const RuleLibrary& library, std::string_view method);

/// The list of all methods, a line each, with links to their pages.
[[nodiscard]] std::string method_index(const RuleLibrary& library);

/// Tables of the words of the rule language, of the operators and of the samplers.
[[nodiscard]] std::string words_table();
/// In Markdown, a row an operator: operands, classes, attributes, formula.
[[nodiscard]] std::string operators_table();
/// In Markdown, a row a sampler: parameters, variables, meaning.
[[nodiscard]] std::string samplers_table();

}  // namespace rulegrad
