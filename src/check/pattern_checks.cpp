#include "check/pattern_checks.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad::checking {
namespace {

class PatternChecker {
 public:
  PatternChecker(Checking& checking, const Rule& rule, Names& names)
      : checking_(checking), rule_(rule), names_(names) {}

  void run() { check(rule_.pattern, true); }

 private:
  [[nodiscard]] const Term& at(TermId id) const { return rule_.terms[static_cast<std::size_t>(id)]; }

  void check(TermId id, bool root) {
    const Term& term = at(id);
    switch (term.kind) {
      case TermKind::variable:
        return variable(term, root);
      case TermKind::label: {
        const TermId inner = below_labels(id);
        const Term& operation = at(inner);
        const bool names_it = (operation.kind == TermKind::call || operation.kind == TermKind::variable) &&
                              checking_.names_operation(operation.name);
        bind(term, BoundBy::label, names_it ? operation.name : std::string());
        return check(term.args[0], root);
      }
      case TermKind::call:
        return call(term);
      default:
        return;
    }
  }

  [[nodiscard]] TermId below_labels(TermId id) const {
    while (at(id).kind == TermKind::label) id = at(id).args[0];
    return id;
  }

  void bind(const Term& term, BoundBy by, std::string operation) {
    if (Binding* other = names_.find(term.name)) {
      const bool own = std::any_of(names_.entries().begin(), names_.entries().end(),
                                   [&](const Binding& entry) { return &entry == other; });
      if (own && by == BoundBy::variable && other->by == BoundBy::variable) {
        ++other->times;  // the same expression twice
        return;
      }
      checking_
          .report("R215", term.where, fmt::format("the name `{}` is taken", term.name),
                  "give one of them another name")
          .notes.push_back({other->by == BoundBy::parameter || other->by == BoundBy::callable
                                ? "it is a parameter of the rule set"
                                : "the pattern binds it here",
                            other->where});
      return;
    }
    if (by != BoundBy::variable && checking_.names_operation(term.name))
      checking_.report(
          "R214", term.where,
          fmt::format("`{}` is the name of an operator or a class, so it cannot name an operation here",
                      term.name),
          fmt::format("a label is a name of your own: `y: {}`", operation.empty() ? "affine(x)" : operation));
    names_.bind({term.name, by, term.where, Sort::tensor, std::move(operation)});
  }

  void variable(const Term& term, bool root) {
    if (checking_.names_operation(term.name)) {
      if (!root) names_.matched_operators.emplace(term.name, term.where);
      return;
    }
    bind(term, BoundBy::variable, {});
  }

  void call(const Term& term) {
    if (term.name == "grad" || term.name == "vjp") {
      checking_.report(
          "R202", term.where,
          fmt::format("`{}` stands inside of a pattern, where only forward operations are", term.name),
          "a gradient rule matches one gradient node: `grad(relu(x), g)`");
      return;
    }
    const CompositeOp* composite = checking_.composite(term.name);
    const std::vector<const OpSchema*> covered = checking_.covered(term.name);
    if (composite == nullptr && covered.empty()) {
      Diagnostic& finding =
          checking_.report("R202", term.where,
                           unknown_name_message("operator or class", term.name, checking_.operation_names()));
      if (checking_.function(term.name) != nullptr || find_word(term.name) != nullptr) {
        finding.message =
            fmt::format("`{}` cannot stand in a pattern, which matches operations of the model", term.name);
        finding.help = "match operators and classes; conditions follow in `when`";
      }
    } else {
      count_operands(term, composite, covered);
      for (const auto& [name, value] : term.named) attribute(term, name, at(value), composite, covered);
    }
    for (const TermId arg : term.args) check(arg, false);
  }

  void count_operands(const Term& term, const CompositeOp* composite,
                      const std::vector<const OpSchema*>& covered) {
    std::size_t most = composite == nullptr ? 0 : composite->parameters.size();
    std::vector<std::string> names =
        composite == nullptr ? std::vector<std::string>() : composite->parameters;
    for (const OpSchema* op : covered) {
      if (op->variadic()) return;
      if (op->operands.size() <= most) continue;
      most = op->operands.size();
      names.clear();
      for (const OperandSpec& spec : op->operands) names.push_back(spec.name);
    }
    if (term.args.size() <= most) return;
    checking_.report(
        "R220", term.where,
        fmt::format("`{}` has {} ({}) but the pattern names {}", term.name, counted(most, "operand"),
                    join(names), term.args.size()),
        fmt::format("write `{}({})`; operands at the end may be left out", term.name, join(names)));
  }

  void attribute(const Term& term, const std::string& name, const Term& value, const CompositeOp* composite,
                 const std::vector<const OpSchema*>& covered) {
    const auto owner = std::find_if(covered.begin(), covered.end(),
                                    [&](const OpSchema* op) { return op->attributes->has(name); });
    if (owner == covered.end()) {
      std::vector<std::string> known;
      for (const OpSchema* op : covered)
        for (const std::string& field : op->attributes->fields)
          if (std::find(known.begin(), known.end(), field) == known.end()) known.push_back(field);
      checking_.report(
          "R203", value.where,
          known.empty() || composite != nullptr
              ? fmt::format("`{}` has no attributes, so `{} = ...` matches nothing", term.name, name)
              : unknown_name_message("attribute of " + term.name, name, known));
      return;
    }
    const AttrType& type = *(*owner)->attributes;
    const AttrValue usual = type.get(type.defaults.get(), type.index_of(name));
    const bool text = std::holds_alternative<std::string>(usual);
    const bool number = std::holds_alternative<bool>(usual) || std::holds_alternative<std::int64_t>(usual) ||
                        std::holds_alternative<double>(usual);
    if ((text && value.kind == TermKind::text) || (number && value.kind == TermKind::number)) return;
    checking_.report(
        "R203", value.where,
        text     ? fmt::format("the attribute `{}` of {} is a word, such as {}, so this never matches", name,
                               (*owner)->name, to_string(usual))
        : number ? fmt::format("the attribute `{}` of {} is a number, such as {}, so this never matches",
                               name, (*owner)->name, to_string(usual))
                 : fmt::format("the attribute `{}` of {} is neither a number nor a word, which are all that "
                               "patterns compare",
                               name, (*owner)->name),
        text || number
            ? std::string()
            : fmt::format("ask for it in a guard: `grad(y: {}, g) when ... y.{} ...`", term.name, name));
  }

  Checking& checking_;
  const Rule& rule_;
  Names& names_;
};

}  // namespace

void check_pattern(Checking& checking, const Rule& rule, Names& names) {
  PatternChecker(checking, rule, names).run();
}

std::vector<std::vector<std::string>> root_operands(const Rule& rule) {
  std::vector<std::vector<std::string>> result;
  const Term* call = root_call(rule.terms, rule.pattern);
  if (call == nullptr) return result;
  for (TermId arg : call->args) {
    const Term* term = &rule.terms[static_cast<std::size_t>(arg)];
    if (term->kind == TermKind::ellipsis) return {};
    std::vector<std::string>& names = result.emplace_back();
    for (; term->kind == TermKind::label; term = &rule.terms[static_cast<std::size_t>(term->args[0])])
      names.push_back(term->name);
    if (term->kind == TermKind::variable) names.push_back(term->name);
  }
  return result;
}

}  // namespace rulegrad::checking
