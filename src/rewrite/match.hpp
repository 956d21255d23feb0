#pragma once

#include <optional>
#include <string>

#include "rewrite/value.hpp"
#include "rulegrad/operators.hpp"
#include "rulegrad/rule.hpp"

namespace rulegrad {

/// Does the class or operator name `name` cover this operator?
[[nodiscard]] bool covers(std::string_view name, const OpSchema& op);
[[nodiscard]] std::optional<OpClass> op_class_from_name(std::string_view name);

/// Matches the patterns of one rule against expressions.
class Matcher {
 public:
  Matcher(const Operators& operators, const Terms& terms, Scope& scope)
      : operators_(operators), terms_(terms), scope_(scope) {}

  /// Matches and binds; on failure nothing stays bound and `why()` says what disagreed first.
  [[nodiscard]] bool match(TermId pattern, Expr expr);
  /// As match, for the pattern of a gradient rule: the operand that `wrt` names (or, if it is empty, the only data
  /// operand, or any where the pattern names no operands) must stand at `slot`.
  [[nodiscard]] bool match_slot(TermId pattern, Expr node, const std::string& wrt, std::size_t slot);
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  bool match_operands(const Term& call, Expr expr, bool swapped);
  bool match_attributes(const Term& call, Expr expr);
  bool fail(std::string why);
  [[nodiscard]] bool names_operator(std::string_view name) const;

  const Operators& operators_;
  const Terms& terms_;
  Scope& scope_;
  std::string why_;
};

/// The operator or class that a pattern's root names; empty for `_` and variables.
[[nodiscard]] std::string root_name(const Terms& terms, TermId pattern);
/// The call term at the root of a pattern, under labels; null for bare names and wildcards.
[[nodiscard]] const Term* root_call(const Terms& terms, TermId pattern);

}  // namespace rulegrad
