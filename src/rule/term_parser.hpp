#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/rule/rule.hpp"

#include "rule/cursor.hpp"
#include "rule/syntax_words.hpp"

namespace rulegrad::syntax {

/// What a name that is bound where a term stands may be used for; a call of one is settled by it.
enum class Binding {
  value,     ///< `name(w = ...)` replaces operands of it
  label,     ///< as value; and it is certainly no operator, so `name(x)` is a mistake
  callable,  ///< a sampler, an analyzer or a function of recipes: `name(...)` calls it
};

class Scope {
 public:
  void bind(std::string name, Binding binding) { names_.emplace_back(std::move(name), binding); }
  [[nodiscard]] const Binding* find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, Binding>> names_;
};

/// Reads terms into the pool of one owner (a rule, a set, a function, an analyzer).
class TermParser {
 public:
  TermParser(Cursor& cursor, Scope outer) : scope(std::move(outer)), cursor_(cursor) {}

  /// A value; ends at a token that cannot continue it. `what` says what it is for, `help` how to write it.
  TermId expression(std::string_view what, std::string_view help);
  /// A pattern; its variables and labels are bound in the scope afterwards.
  TermId pattern(std::string_view help);
  /// `lrp.epsilon` or `lrp.epsilon(0.1, key = 2)`: a rule set, an analyzer, a sampler, by name.
  TermId reference(std::string_view what, std::string_view help);
  /// `let NAME = EXPR`, the `let` being next.
  Let let();
  /// Lets and then one expression, for `owner` ("the rule").
  void body(std::vector<Let>& lets, TermId& result, std::string_view owner, std::string_view help);
  /// Puts a finished term into the pool; its operands must be there.
  TermId add(Term term);

  Scope scope;
  Terms terms;

 private:
  TermId infix(int strength);
  TermId prefix(int strength);
  TermId unary();
  TermId primary();
  TermId postfix(TermId base);
  TermId named(const Token& name);
  /// `operand`: behind an operator, where a label takes one operand, not the rest of the pattern.
  TermId label(bool operand);
  TermId reduction();
  TermId list();
  TermId call(const Token& name, std::string callee, std::vector<TermId> receiver);
  void arguments(Term& call);
  TermId argument();
  void check_callee(const Token& name, const Term& call);
  TermId leaf(TermKind kind, const Token& token, std::string name);
  void bind_pattern(TermId id);
  void forbid_in_pattern(const Token& token, std::string_view what);
  void check_nesting();
  [[noreturn]] void fail_missing_expression();

  Cursor& cursor_;
  std::vector<int> depths_;
  bool in_pattern_ = false;
  int brackets_ = 0;
  int nesting_ = 0;
  std::string what_, help_;
  std::optional<Token> minus_at_line_start_;
};

/// Is the next token the start of a rule: `grad(...)` or `vjp(...)` before `=>`, `wrt` or `when`, `rewrite`,
/// `rule NAME:`?
[[nodiscard]] bool at_rule_start(const Cursor& cursor);

}  // namespace rulegrad::syntax
