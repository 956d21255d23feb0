#pragma once

#include "check/checking.hpp"

namespace rulegrad::checking {

/// Looks through the terms of one pool: names, arguments, attributes, and words that may not stand here.
class TermChecker {
 public:
  TermChecker(Checking& checking, const Terms& terms, Names& names, Place place)
      : checking_(checking), terms_(terms), names_(names), place_(place) {}

  /// Reports what is wrong below the term; what it is, as far as that is known.
  Sort check(TermId id);
  /// As check, for what a guard or selector asks: it must be known when the rule is applied.
  void check_condition(TermId id);
  /// Arguments of a rule set or analyzer that takes these parameters.
  void check_arguments(const Term& reference, std::string_view kind,
                       const std::vector<Parameter>& parameters);
  /// A default of the parameter, or an argument for it; `owner` is the item that the parameter belongs to.
  void check_parameter_value(const Parameter& parameter, TermId value, bool is_default,
                             std::string_view owner);

 private:
  [[nodiscard]] const Term& at(TermId id) const { return terms_[static_cast<std::size_t>(id)]; }
  Sort variable(const Term& term);
  Sort call(const Term& term);
  Sort call_word(const Word& word, const Term& term);
  Sort call_operator(const OpSchema& op, const Term& term);
  Sort call_composite(const CompositeOp& op, const Term& term);
  Sort call_function(const Function& function, const Term& term);
  Sort replace(const Term& term);
  Sort member(const Term& term);
  void reduce(const Term& term);
  void require_operation(const std::string& name, const Term& term, std::string_view spelling);
  void unknown_name(const Term& term);
  void unknown_call(const Term& term);
  void check_word_place(const Word& word, const SourceRange& where, const Function* through);
  /// All arguments, by position and by name.
  Sort arguments(const Term& term);
  [[nodiscard]] std::vector<std::string> roles_of(std::string_view operation) const;
  [[nodiscard]] std::vector<std::string> attributes_of(std::string_view operation) const;

  Checking& checking_;
  const Terms& terms_;
  Names& names_;
  Place place_;
  int inside_diff_ = 0;
};

/// `mean(x, spatial)`: sets of axes stand behind the operand of a reduction.
[[nodiscard]] inline bool is_axis_set(const Term& term) {
  return term.kind == TermKind::variable &&
         (term.name == "per_sample" || term.name == "spatial" || term.name == "channels");
}

}  // namespace rulegrad::checking
