#pragma once

#include <string>
#include <string_view>

#include "rulegrad/rule/diagnostic.hpp"
#include "rulegrad/rule/rule.hpp"

/// The text form of rules: docs/rule-language-grammar.md holds its grammar. Names of operators, sets and
/// analyzers are not looked up here; whoever checks a file does that.
namespace [[gnu::visibility("default")]] rulegrad {

/// Terms and brackets may nest this deep, so that whatever walks rules may recurse.
inline constexpr int max_term_depth = 200;

/// Reads a rule file; `path` is what messages and source ranges call it. Throws RuleError with all problems
/// found. A set written in place, `use { ... }` in an analyzer `m`, becomes the rule set `m.rules_1` (2, ...)
/// whose parameters are the names of the analyzer that its rules read.
[[nodiscard]] RuleFile parse_rules(std::string_view text, std::string path);

/// Canonical text, with infix operators and as few parentheses as the reader needs: parse_rules(print(file))
/// is equal to `file`. Items appear in the order of their lines, those without one by kind.
[[nodiscard]] std::string print(const RuleFile& file);
[[nodiscard]] std::string print(const RuleSet& set);
[[nodiscard]] std::string print(const AnalyzerDefinition& analyzer);
[[nodiscard]] std::string print(const Function& function);
[[nodiscard]] std::string print(const CompositeOp& op);
/// Several lines if need be, not indented and without a newline at the end.
[[nodiscard]] std::string print(const Rule& rule);
/// One line.
[[nodiscard]] std::string print_term(const Terms& terms, TermId term);

/// Structural equality: places, paths and the order of terms in their pools do not count.
[[nodiscard]] bool equal(const RuleFile& a, const RuleFile& b);
[[nodiscard]] bool equal(const RuleSet& a, const RuleSet& b);
[[nodiscard]] bool equal(const AnalyzerDefinition& a, const AnalyzerDefinition& b);
[[nodiscard]] bool equal(const Function& a, const Function& b);
[[nodiscard]] bool equal(const CompositeOp& a, const CompositeOp& b);
[[nodiscard]] bool equal(const Rule& a, const Rule& b);
/// The same of two terms and what they hold.
[[nodiscard]] bool equal_term(const Terms& a_terms, TermId a, const Terms& b_terms, TermId b);

}  // namespace rulegrad
