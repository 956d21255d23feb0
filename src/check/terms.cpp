#include "check/terms.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad::checking {
namespace {}  // namespace

Sort TermChecker::check(TermId id) {
  const Term& term = at(id);
  switch (term.kind) {
    case TermKind::number:
      return Sort::number;
    case TermKind::text:
      return Sort::fixed;
    case TermKind::variable:
      return variable(term);
    case TermKind::list: {
      for (const TermId arg : term.args)
        if (check(arg) == Sort::tensor)
          checking_.report("R235", at(arg).where,
                           "a list holds numbers that are known when the rule is applied, and this is the "
                           "value of a tensor",
                           "lists are for attributes: `[2, 3]`");
      return Sort::fixed;
    }
    case TermKind::call:
      return call(term);
    case TermKind::replace:
      return replace(term);
    case TermKind::member:
      return member(term);
    case TermKind::spread:
      require_operation(term.name, term, ".." + term.name);
      return Sort::fixed;
    case TermKind::world:
      (void)check(term.args[0]);
      if (place_ != Place::gradient && place_ != Place::function && place_ != Place::recipe)
        checking_.report("R234", term.where,
                         fmt::format("there is no other world here for `@{}` to look into", term.name),
                         "worlds are set up by analyzers (`point base: input = 0`), for the results of their "
                         "gradient rules");
      return Sort::tensor;
    case TermKind::reduce:
      reduce(term);
      return Sort::tensor;
    default:
      return Sort::unknown;  // the parser lets patterns alone hold the rest
  }
}

void TermChecker::check_condition(TermId id) {
  const Term& term = at(id);
  if (term.kind == TermKind::call && (term.name == "and" || term.name == "or" || term.name == "not")) {
    for (const TermId arg : term.args) check_condition(arg);
    return;
  }
  const Sort sort = check(id);
  const std::string_view asks = place_ == Place::guard ? "a guard" : "a selector";
  if (sort == Sort::tensor)
    checking_.report(
        "R233", term.where,
        fmt::format("{} is decided before any value is known, but `{}` asks for the values of a tensor", asks,
                    print_term(terms_, id)),
        fmt::format("choose by value in the result, with `where({}, ..., 0)`; {} asks for operators, "
                    "attributes, shapes, names and positions",
                    print_term(terms_, id), asks));
  else if (sort == Sort::fixed)
    checking_.report("R233", term.where, fmt::format("`{}` is no condition", print_term(terms_, id)),
                     "a condition compares (`y.axis == 1`), names an operator or a class, or asks for a fact "
                     "(`name(\"conv*\")`)");
}

Sort TermChecker::variable(const Term& term) {
  if (Binding* bound = names_.find(term.name)) {
    bound->read = true;
    return bound->sort;
  }
  const bool condition = place_ == Place::guard || place_ == Place::selector;
  if (condition && checking_.names_operation(term.name)) return Sort::number;
  if (is_axis_set(term)) return Sort::fixed;
  if (const Word* word = find_word(term.name); word != nullptr && word->least_arguments() == 0)
    return call_word(*word, term);
  unknown_name(term);
  return Sort::unknown;
}

void TermChecker::unknown_name(const Term& term) {
  if (const auto matched = names_.matched_operators.find(term.name);
      matched != names_.matched_operators.end()) {
    checking_
        .report(
            "R214", term.where,
            fmt::format("`{}` is not bound: it is the name of an operator, and in the pattern it stands for "
                        "that operator",
                        term.name),
            fmt::format("give the operand another name, such as `{}_`, in the pattern and here", term.name))
        .notes.push_back({fmt::format("here only an operation `{}` matches", term.name), matched->second});
    return;
  }
  if (op_class_from_name(term.name)) {
    checking_.report("R210", term.where,
                     fmt::format("`{}` is a class of operators, which has no value", term.name),
                     "name an operator, or label the matched operation and replace its operands: `y(w = 1)`");
    return;
  }
  if (checking_.op(term.name) != nullptr || checking_.composite(term.name) != nullptr) {
    checking_.report("R210", term.where,
                     fmt::format("`{}` is an operator, which has a value only with its operands", term.name),
                     fmt::format("write `{}(...)`, or bind the name in the pattern", term.name));
    return;
  }
  if (const Function* function = checking_.function(term.name)) {
    checking_.report("R210", term.where,
                     fmt::format("`{}` is a fn, which has a value only with its arguments", term.name),
                     fmt::format("write `{}({})`", term.name, join(function->parameters)));
    return;
  }
  if (const Word* word = find_word(term.name)) {
    checking_.report("R210", term.where, fmt::format("`{}` needs arguments", term.name),
                     fmt::format("write `{}`", word->usage()));
    return;
  }
  std::vector<std::string> known = names_.all();
  for (const Word& word : words())
    if (word.least_arguments() == 0) known.emplace_back(word.name);
  // One letter is as near to any other as can be.
  const std::string near = term.name.size() < 3 ? std::string() : nearest_name(term.name, known);
  std::string help;
  switch (place_) {
    case Place::guard:
    case Place::gradient:
    case Place::derivative:
    case Place::forward:
      help = fmt::format(
          "the names of a rule come from its pattern, its `let`s above and the parameters of its set: bind "
          "`{}` there",
          term.name);
      break;
    case Place::function:
    case Place::composite:
      help = "only its own parameters can be named here: add one";
      break;
    default:
      help = fmt::format("add `{}` to the parameters, or bind it with `let`", term.name);
  }
  std::vector<std::string> bound = names_.all();
  std::sort(bound.begin(), bound.end());
  bound.erase(std::unique(bound.begin(), bound.end()), bound.end());
  Diagnostic& finding =
      checking_.report("R210", term.where,
                       fmt::format("`{}` is not bound here{}", term.name,
                                   near.empty() ? "" : fmt::format("; did you mean `{}`?", near)),
                       std::move(help));
  if (!bound.empty()) finding.notes.push_back({fmt::format("what is bound: {}", join(bound)), {}});
}

Sort TermChecker::replace(const Term& term) {
  require_operation(term.name, term, term.name + "(...)");
  const Binding* bound = names_.find(term.name);
  const std::vector<std::string> roles =
      bound == nullptr ? std::vector<std::string>() : roles_of(bound->operation);
  for (const auto& [role, value] : term.named) {
    if (!roles.empty() && std::find(roles.begin(), roles.end(), role) == roles.end())
      checking_.report(
          "R222", at(value).where, unknown_name_message("operand of " + bound->operation, role, roles),
          fmt::format(
              "`{}(...)` is the matched operation with some operands replaced, by the names they have in {}",
              term.name, bound->operation));
    (void)check(value);
  }
  return Sort::tensor;
}

Sort TermChecker::member(const Term& term) {
  const Sort owner_sort = check(term.args[0]);
  const Term& owner = at(term.args[0]);
  const Binding* bound = owner.kind == TermKind::variable ? names_.find(owner.name) : nullptr;
  if (owner_sort == Sort::number) {
    checking_.report(
        "R223", term.where, fmt::format("a number has no `{}`", term.name),
        "attributes belong to operations that the pattern labels: `grad(y: softmax(x), g) => ... y.axis`");
    return Sort::unknown;
  }
  if (bound == nullptr || bound->operation.empty()) return Sort::unknown;
  const std::vector<std::string> attributes = attributes_of(bound->operation),
                                 roles = roles_of(bound->operation);
  if (std::find(roles.begin(), roles.end(), term.name) != roles.end()) return Sort::tensor;
  if (std::find(attributes.begin(), attributes.end(), term.name) == attributes.end()) {
    std::vector<std::string> known = attributes;
    known.insert(known.end(), roles.begin(), roles.end());
    checking_
        .report("R203", term.where,
                unknown_name_message("attribute or operand of " + bound->operation, term.name, known))
        .notes.push_back(
            {fmt::format("`{}` names the operation that this pattern matches", bound->name), bound->where});
  }
  return Sort::unknown;
}

void TermChecker::reduce(const Term& term) {
  (void)check(term.args[0]);
  if (place_ != Place::recipe) {
    checking_.report(
        "R234", term.where,
        fmt::format("`{} over {}` reduces over samples, which only analyzers draw", term.name, term.key),
        fmt::format("over axes, `{}(v, axes = [1])` does it", term.name == "stack" ? "sum" : term.name));
    return;
  }
  Binding* bound = names_.find(term.key);
  if (bound != nullptr) bound->read = true;
  if (bound == nullptr || bound->by != BoundBy::sample)
    checking_.report("R255", term.where,
                     fmt::format("`{} over {}` reduces over samples, but no `for` names `{}`", term.name,
                                 term.key, term.key),
                     fmt::format("write `for {} in samples(50)` in the analyzer", term.key));
}

void TermChecker::require_operation(const std::string& name, const Term& term, std::string_view spelling) {
  Binding* bound = names_.find(name);
  if (bound == nullptr) {
    unknown_name(term);
    return;
  }
  bound->read = true;
  if (bound->sort != Sort::number && bound->by != BoundBy::cotangent) return;
  checking_
      .report("R223", term.where,
              fmt::format("`{}` needs an operation, and `{}` is {}", spelling, name,
                          bound->by == BoundBy::cotangent ? "the cotangent" : "a number"),
              "label the operation in the pattern, as in `grad(y: affine(x), r)`, and write `y`")
      .notes.push_back({"it is bound here", bound->where});
}

std::vector<std::string> TermChecker::roles_of(std::string_view operation) const {
  if (const CompositeOp* op = checking_.composite(operation)) return op->parameters;
  std::vector<std::string> roles;
  for (const OpSchema* op : checking_.covered(operation))
    for (const OperandSpec& spec : op->operands)
      if (std::find(roles.begin(), roles.end(), spec.name) == roles.end()) roles.push_back(spec.name);
  return roles;
}

std::vector<std::string> TermChecker::attributes_of(std::string_view operation) const {
  std::vector<std::string> fields;
  for (const OpSchema* op : checking_.covered(operation))
    for (const std::string& field : op->attributes->fields)
      if (std::find(fields.begin(), fields.end(), field) == fields.end()) fields.push_back(field);
  return fields;
}

}  // namespace rulegrad::checking
