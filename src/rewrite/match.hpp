#pragma once

#include <optional>
#include <string>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

#include "rewrite/value.hpp"
#include "rewrite/vocabulary.hpp"

namespace rulegrad {

/// Does the class or operator name `name` cover this operator?
[[nodiscard]] bool covers(std::string_view name, const OpSchema& op);
[[nodiscard]] std::optional<OpClass> op_class_from_name(std::string_view name);

/// Matches the patterns of one rule against expressions.
class Matcher {
 public:
  /// `explain`: whether `why()` will be asked for; saying it costs more than most matches.
  Matcher(const Vocabulary& vocabulary, const Terms& terms, Scope& scope, bool explain = false)
      : vocabulary_(vocabulary), terms_(terms), scope_(scope), explain_(explain) {}

  /// Matches and binds; on failure nothing stays bound and `why()` says what disagreed first.
  [[nodiscard]] bool match(TermId pattern, Expr expr);
  /// As match, for the pattern of a gradient rule: the operand that `wrt` names (or, if it is empty, the only
  /// data operand, or any where the pattern names no operands) must stand at `slot`.
  [[nodiscard]] bool match_slot(TermId pattern, Expr node, const std::string& wrt, std::size_t slot);
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  /// What is still to be matched. Commutative operators try both orders, and come back to the other one when
  /// what follows does not fit: the rest of the pattern is always known.
  struct Goal {
    TermId pattern;
    Expr expr;
    const Goal* next;
  };
  bool is_meant_slot(const OpSchema& op, std::size_t slot, bool names_operands);
  [[nodiscard]] bool stands_at(TermId operand, const std::string& name) const;
  bool match_named_operand(TermId pattern, const Term& call, Expr node, const std::string& wrt,
                           std::size_t position, std::size_t slot);
  void bind_labels(TermId pattern, Expr node);
  bool solve(const Goal* goal);
  bool solve_call(const Term& call, const Goal& goal);
  /// The first `count` operands of a call, then `rest`.
  bool solve_operands(const Term& call, Expr expr, bool swapped, std::size_t count, const Goal* rest);
  bool same_count(const Term& call, Expr expr);
  bool match_attributes(const Term& call, Expr expr);
  bool fail(std::string why);
  [[nodiscard]] bool covers(const Term& name, const OpSchema& op) const;

  const Vocabulary& vocabulary_;
  const Terms& terms_;
  Scope& scope_;
  bool explain_;
  std::string why_;
};

/// The operator or class that a pattern's root names; empty for `_` and variables.
[[nodiscard]] std::string root_name(const Terms& terms, TermId pattern);
/// The call term at the root of a pattern, under labels; null for bare names and wildcards.
[[nodiscard]] const Term* root_call(const Terms& terms, TermId pattern);

}  // namespace rulegrad
