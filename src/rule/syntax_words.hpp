#pragma once

#include <algorithm>
#include <array>
#include <string_view>

/// The words and operators of the rule language, shared by the parser, the printer and the tests of the
/// grammar.
namespace rulegrad::syntax {

/// Words that begin an item of a file.
inline constexpr std::array<std::string_view, 5> item_words{"include", "fn", "op", "rules", "analyzer"};

/// Words that begin an item of a rule set.
inline constexpr std::array<std::string_view, 5> rule_words{"grad", "vjp", "rewrite", "rule", "use"};

/// Words that begin a statement of an analyzer.
inline constexpr std::array<std::string_view, 11> statement_words{
    "extends", "canonize", "seed", "for", "point", "at", "let", "use", "default", "result", "declare"};

/// Words that can name nothing else. The other words of the language are words only where they are expected.
inline constexpr std::array<std::string_view, 18> reserved_words{
    "include", "fn", "op",  "rules", "analyzer", "rewrite", "use", "let", "when",
    "wrt",     "on", "and", "or",    "not",      "is",      "for", "inf", "extends"};

inline constexpr std::array<std::string_view, 6> parameter_types{"number",  "tensor",   "node",
                                                                 "sampler", "analyzer", "rules"};
inline constexpr std::array<std::string_view, 4> fallback_words{"error", "gradient", "pass", "zero"};
inline constexpr std::array<std::string_view, 5> reduction_words{"sum", "mean", "var", "max", "stack"};

/// What an analyzer's expressions may name without binding it.
inline constexpr std::array<std::string_view, 5> recipe_names{"input", "y", "target", "relevance", "score"};

/// How tightly an operator binds; operands of equal strength group to the left, except those of `^`.
enum Strength : int { loosest, or_, and_, not_, comparison, sum, product, minus, power, postfix };

struct Infix {
  std::string_view symbol;
  std::string_view name;  ///< of the call it stands for
  Strength strength;
};

inline constexpr std::array<Infix, 13> infix_operators{{
    {"or", "or", or_},
    {"and", "and", and_},
    {"<", "less", comparison},
    {"<=", "less_equal", comparison},
    {">", "greater", comparison},
    {">=", "greater_equal", comparison},
    {"==", "equal", comparison},
    {"!=", "not_equal", comparison},
    {"is", "is", comparison},
    {"+", "add", sum},
    {"-", "sub", sum},
    {"*", "mul", product},
    {"/", "div", product},
}};

template <class Words>
constexpr bool is_one_of(std::string_view word, const Words& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace rulegrad::syntax
