#include <algorithm>
#include <fmt/format.h>

#include "check/terms.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad::checking {
namespace {

std::vector<std::string> operand_names(const OpSchema& op) {
  std::vector<std::string> names;
  for (const OperandSpec& spec : op.operands)
    names.push_back(spec.optional ? "[" + spec.name + "]" : spec.name);
  return names;
}

Sort joined(Sort a, Sort b) {
  if (a == Sort::tensor || b == Sort::tensor) return Sort::tensor;
  return a == b ? a : Sort::unknown;
}

}  // namespace

Sort TermChecker::arguments(const Term& term) {
  Sort all = term.args.empty() ? Sort::unknown : Sort::number;
  for (const TermId arg : term.args) {
    const Sort sort = check(arg);
    if (at(arg).kind != TermKind::spread) all = joined(all, sort);
  }
  for (const auto& [name, value] : term.named) (void)check(value);
  return all;
}

Sort TermChecker::call(const Term& term) {
  if (term.name == "and" || term.name == "or" || term.name == "not") return arguments(term);
  if (Binding* bound = names_.find(term.name)) {
    bound->read = true;
    if (bound->by == BoundBy::recipe)
      if (const Word* word = find_word(term.name)) return call_word(*word, term);
    (void)arguments(term);
    if (bound->by != BoundBy::callable)
      checking_
          .report("R223", term.where,
                  fmt::format("`{}` is bound to a value here, so it cannot be called", term.name),
                  fmt::format("to replace operands of an operation, name them: `{}(w = ...)`; to call an "
                              "operator or fn of that name, rename the binding",
                              term.name))
          .notes.push_back({"it is bound here", bound->where});
    return Sort::unknown;
  }
  if (const Word* word = find_word(term.name)) return call_word(*word, term);
  if (const OpSchema* op = checking_.op(term.name)) return call_operator(*op, term);
  if (const CompositeOp* op = checking_.composite(term.name)) return call_composite(*op, term);
  if (const Function* function = checking_.function(term.name)) return call_function(*function, term);
  unknown_call(term);
  (void)arguments(term);
  return Sort::unknown;
}

void TermChecker::unknown_call(const Term& term) {
  if (op_class_from_name(term.name)) {
    checking_.report("R201", term.where,
                     fmt::format("`{}` is a class of operators, which cannot be called", term.name),
                     "name an operator, or label the matched operation in the pattern and replace its "
                     "operands: `y(w = 1)`");
    return;
  }
  checking_.report("R201", term.where,
                   unknown_name_message("operator or function", term.name, checking_.callable_names()));
}

Sort TermChecker::call_operator(const OpSchema& op, const Term& term) {
  std::vector<TermId> positional;
  for (const TermId arg : term.args)
    if (at(arg).kind != TermKind::spread) positional.push_back(arg);
  const std::size_t least = op.required_operands(), most = op.operands.size();
  // Behind the operands stand attributes, in their order.
  const std::size_t attributes =
      op.variadic() ? 0 : op.attributes->fields.size() + (op.name == "quantile" ? 1 : 0);
  const auto is_operand = [&](TermId arg) {
    const auto place =
        static_cast<std::size_t>(std::find(positional.begin(), positional.end(), arg) - positional.begin());
    return place < positional.size() && (op.variadic() || place < most || place >= most + attributes);
  };
  const auto given = static_cast<std::size_t>(std::count_if(term.args.begin(), term.args.end(), is_operand));
  if (given < least || (given > most && !op.variadic())) {
    const std::string wanted = op.variadic()   ? fmt::format("at least {}", least)
                               : least == most ? fmt::format("{}", most)
                                               : fmt::format("{} to {}", least, most);
    checking_.report(
        "R221", term.where,
        fmt::format("`{}` takes {} operand{} ({}) but {} {} given", op.name, wanted, wanted == "1" ? "" : "s",
                    join(operand_names(op)), given, given == 1 ? "is" : "are"),
        fmt::format("{}: {}", op.name, op.doc));
  }
  Sort sort = Sort::number;
  if (given == 0) sort = Sort::tensor;
  for (const TermId arg : term.args) {
    const bool operand = is_operand(arg);
    if (!operand && at(arg).kind == TermKind::variable && names_.find(at(arg).name) == nullptr &&
        op.attributes->has(at(arg).name))
      continue;
    const Sort argument = check(arg);
    if (!operand) {
      if (argument == Sort::tensor && at(arg).kind != TermKind::spread)
        checking_.report("R235", at(arg).where,
                         fmt::format("behind its operands `{}` takes attributes, which must be known when "
                                     "the rule is applied, and this is the value of a tensor",
                                     op.name),
                         fmt::format("{}: {}", op.name, op.doc));
      continue;
    }
    const TermKind kind = at(arg).kind;
    // Lists are compared as lists: `y.axes == [1, 2]`.
    const bool compared = (op.name == "equal" || op.name == "not_equal") && kind == TermKind::list;
    if ((kind == TermKind::list && !compared) || kind == TermKind::text || is_axis_set(at(arg)))
      checking_.report("R235", at(arg).where,
                       fmt::format("an operand of `{}` is a value of the network, and this is {}", op.name,
                                   kind == TermKind::list   ? "a list"
                                   : kind == TermKind::text ? "a text"
                                                            : "a set of axes"),
                       fmt::format("{}: {}", op.name, op.doc));
    sort = joined(sort, argument);
  }
  for (const auto& [name, value] : term.named) {
    if (!op.attributes->has(name)) {
      std::vector<std::string> known = op.attributes->fields;
      checking_.report(
          "R203", at(value).where,
          known.empty() ? fmt::format("`{}` has no attributes, but `{}` is given", op.name, name)
                        : unknown_name_message("attribute of " + op.name, name, known),
          op.position_of(name)
              ? fmt::format("`{}` is an operand of {}: operands are given by position", name, op.name)
              : std::string());
    }
    // A forward rule applies where what its pattern bound is a constant of one value.
    const Binding* bound = at(value).kind == TermKind::variable ? names_.find(at(value).name) : nullptr;
    const bool constant = place_ == Place::forward && bound != nullptr && bound->by == BoundBy::variable;
    if (check(value) == Sort::tensor && !constant)
      checking_.report("R235", at(value).where,
                       fmt::format("the attribute `{}` of {} must be known when the rule is applied, and "
                                   "this is the value of a tensor",
                                   name, op.name),
                       "attributes are numbers, lists and shapes: `axis = 1`, `shape = shape(x)`");
  }
  return sort == Sort::fixed ? Sort::unknown : sort;
}

Sort TermChecker::call_composite(const CompositeOp& op, const Term& term) {
  if (term.args.size() != op.parameters.size())
    checking_
        .report("R221", term.where,
                fmt::format("`{}` takes {} ({}) but {} {} given", op.name,
                            counted(op.parameters.size(), "operand"), join(op.parameters), term.args.size(),
                            term.args.size() == 1 ? "is" : "are"))
        .notes.push_back({"it is defined here", op.where});
  (void)arguments(term);
  return Sort::tensor;
}

Sort TermChecker::call_function(const Function& function, const Term& term) {
  if (term.args.size() != function.parameters.size())
    checking_
        .report("R221", term.where,
                fmt::format("`{}` takes {} ({}) but {} {} given", function.name,
                            counted(function.parameters.size(), "argument"), join(function.parameters),
                            term.args.size(), term.args.size() == 1 ? "is" : "are"))
        .notes.push_back({"it is defined here", function.where});
  for (const auto& [name, value] : term.named)
    checking_.report("R221", at(value).where,
                     fmt::format("`{}` is a fn, whose arguments are given by position, not as `{} = ...`",
                                 function.name, name),
                     fmt::format("write `{}({})`", function.name, join(function.parameters)));
  for (const Word* word : checking_.words_of(function)) check_word_place(*word, term.where, &function);
  const Sort sort = arguments(term);
  return sort == Sort::number ? Sort::unknown : sort;
}

}  // namespace rulegrad::checking
