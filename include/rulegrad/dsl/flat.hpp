#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <version>

#ifdef __cpp_lib_source_location
#include <source_location>
#endif

#include "rulegrad/rule/rule.hpp"

/// The flat constexpr form of rules: what the types of the DSL are lowered to at compile time, and what is
/// copied into `rulegrad::Rule` at run time. Structure is computed once per rule type; literals are data of
/// the rule object.
namespace [[gnu::visibility("default")]] rulegrad {
namespace dsl {

/// Text that can be a template argument.
template <std::size_t N>
struct FixedString {
  char chars[N]{};
  // NOLINTNEXTLINE(google-explicit-constructor): string literals become template arguments
  constexpr FixedString(const char (&text)[N]) {
    for (std::size_t i = 0; i < N; ++i) chars[i] = text[i];
  }
};

/// Static storage for a name of a variable, parameter or rule, so that views of it are constants.
template <FixedString Text>
struct Name {
  static constexpr auto text = Text;
  static constexpr std::string_view view{text.chars, sizeof(text.chars) - 1};
};

/// One step for the compiler, where comparing views takes one for each character; addresses, which would be as cheap, g++ 12 does not compare
/// at compile time under its undefined behaviour sanitizer.
[[nodiscard]] constexpr bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && __builtin_memcmp(a.data(), b.data(), a.size()) == 0;
}

/// Where a rule was written. clang 14 has no std::source_location, but has the builtins below it.
struct Place {
  const char* file = "";
  int line = 0;
  int column = 0;

#ifdef __cpp_lib_source_location
  [[nodiscard]] static constexpr Place here(std::source_location at = std::source_location::current()) {
    return {at.file_name(), static_cast<int>(at.line()), static_cast<int>(at.column())};
  }
#else
  [[nodiscard]] static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                                            int column = __builtin_COLUMN()) {
    return {file, line, column};
  }
#endif
};

/// A number or a word that a rule carries as data.
struct Literal {
  double number = 0;
  const char* text = "";
};

/// What the name of a call stands for; the four about gradients come last.
enum class CallKind : std::uint8_t { op, op_class, function, grad, vjp, next, diff };

/// The part of a rule that a term belongs to.
enum class Side : std::uint8_t { pattern, guard, value };

/// A `rulegrad::Term` whose operands are `links[first_link...]`: first the positional ones, then the named
/// ones.
struct FlatTerm {
  TermKind kind = TermKind::wildcard;
  Side side = Side::pattern;
  CallKind call = CallKind::op;
  bool parameter = false;       ///< a variable that is a parameter of the rule set
  bool operator_name = false;   ///< a variable with the name of an operator
  bool equals_sign = false;     ///< a comparison that was written `a == b`
  std::string_view variable{};  ///< of variables, labels, replacements and spreads: the name
  std::string_view name{};
  int literal = -1;  ///< index of the literal that is the number, the text, the member or the world
  int first_link = 0;
  int args = 0;
  int named = 0;
  int min_operands = 0;
  int max_operands = 0;
};

struct FlatLink {
  std::string_view name{};
  int term = -1;
};

struct FlatLet {
  std::string_view name{};
  int value = -1;
  int terms_before = 0;  ///< terms from here on may use the name
};

/// One rule, lowered; views of static storage.
struct FlatRule {
  std::string_view name{};
  RuleLevel level = RuleLevel::grad;
  std::span<const FlatTerm> terms{};
  std::span<const FlatLink> links{};
  std::span<const FlatLet> lets{};
  std::span<const Literal> literals{};
  int pattern = -1;
  std::string_view cotangent{};
  std::string_view wrt{};
  int guard = -1;
  int result = -1;
  Place place{};
};

/// The runtime copy of a flat rule.
[[nodiscard]] Rule lower(const FlatRule& rule);
[[nodiscard]] std::vector<Rule> lower(std::span<const FlatRule> rules);
[[nodiscard]] SourceRange to_source_range(const Place& place);

namespace detail {
/// Null: no default, no range.
void add_parameter(RuleSet& set, std::string_view name, std::string_view type, const double* fallback,
                   const NumberRange* range);
void add_use(RuleSet& set, const FlatRule& use);
}  // namespace detail

}  // namespace dsl
}  // namespace rulegrad
