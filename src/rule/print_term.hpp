#pragma once

#include <string>

#include "rulegrad/rule/rule.hpp"

#include "rule/syntax_words.hpp"

namespace rulegrad::syntax {

/// A term where an operator of the given strength would take it as its operand; `loosest` where anything may
/// stand.
[[nodiscard]] std::string term_text(const Terms& terms, TermId id, int strength);

/// A rule set, an analyzer or a sampler with its arguments: never spelled as an operator.
[[nodiscard]] std::string reference_text(const Terms& terms, TermId id);

/// An expression that may take several lines, each but the first behind `indent` spaces: a sum that is too
/// long is broken behind its operators. `column` is where the first line begins.
[[nodiscard]] std::string expression_text(const Terms& terms, TermId id, std::size_t column,
                                          std::size_t indent);

/// A text in double quotes.
[[nodiscard]] std::string quoted(const std::string& text);

inline constexpr std::size_t line_width = 110;

}  // namespace rulegrad::syntax
