#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "check/items.hpp"
#include "check/pattern_checks.hpp"
#include "check/terms.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad::checking {
namespace {

constexpr std::string_view infix_names[] = {"add", "sub", "mul", "div", "pow"};

class RuleChecker {
 public:
  RuleChecker(Checking& checking, const Rule& rule, Names& parameters)
      : checking_(checking), rule_(rule), names_(&parameters) {}

  void run() {
    const std::size_t before = checking_.error_count();
    check_pattern(checking_, rule_, names_);
    bind_cotangent();
    check_slot();
    if (rule_.guard != no_term)
      TermChecker(checking_, rule_.terms, names_, Place::guard).check_condition(rule_.guard);
    const Place place = rule_.level == RuleLevel::grad  ? Place::gradient
                        : rule_.level == RuleLevel::vjp ? Place::derivative
                                                        : Place::forward;
    TermChecker body(checking_, rule_.terms, names_, place);
    for (const Let& let : rule_.lets) {
      const Sort sort = body.check(let.value);
      bind_let(let, sort);
    }
    (void)body.check(rule_.result);
    // A name that is misspelt leaves others unused.
    if (checking_.error_count() == before) report_unused();
  }

 private:
  [[nodiscard]] const Term& at(TermId id) const { return rule_.terms[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const SourceRange& or_rule(const SourceRange& where) const {
    return where.line == 0 ? rule_.where : where;
  }

  void bind_cotangent() {
    if (rule_.level == RuleLevel::forward || rule_.cotangent.empty() || rule_.cotangent == "_") return;
    if (const Binding* other = names_.find(rule_.cotangent)) {
      checking_
          .report("R215", or_rule(rule_.cotangent_where),
                  fmt::format("the name `{}` is taken, so it cannot name the cotangent", rule_.cotangent),
                  "give one of them another name")
          .notes.push_back({"it is bound here", other->where});
      return;
    }
    if (checking_.names_operation(rule_.cotangent))
      checking_.report(
          "R214", or_rule(rule_.cotangent_where),
          fmt::format("`{}` is the name of an operator or a class, so it cannot name the cotangent",
                      rule_.cotangent),
          "call it `g` or `r`");
    names_.bind({rule_.cotangent, BoundBy::cotangent, or_rule(rule_.cotangent_where)});
  }

  void check_slot() {
    if (rule_.level == RuleLevel::forward) return;
    const auto operands = root_operands(rule_);
    if (rule_.wrt.empty()) return need_wrt(!operands.empty());
    const auto stands = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), rule_.wrt) != names.end();
    };
    if (operands.empty()) {
      if (names_.find(rule_.wrt) == nullptr)
        names_.bind({rule_.wrt, BoundBy::slot, or_rule(rule_.wrt_where)});
      return;
    }
    if (std::any_of(operands.begin(), operands.end(), stands)) return;
    if (names_.find(rule_.wrt) == nullptr) {
      // A new name stands for whichever operand the gradient is for.
      names_.bind({rule_.wrt, BoundBy::slot, or_rule(rule_.wrt_where)});
      return;
    }
    std::vector<std::string> known;
    for (const auto& names : operands) known.insert(known.end(), names.begin(), names.end());
    const std::string root = root_name(rule_.terms, rule_.pattern);
    checking_
        .report("R222", or_rule(rule_.wrt_where),
                fmt::format("`wrt {}` names no operand of `{}`{}", rule_.wrt, root,
                            known.empty() ? std::string(", whose operands have no names in this pattern")
                                          : fmt::format(", whose operands are {}", join(known))),
                "a rule is for one operand of the operation at the root of its pattern, not for something "
                "further down")
        .notes.push_back({"this is the operation", at(rule_.pattern).where});
  }

  /// A rule without `wrt` that names operands is for the first data operand only.
  void need_wrt(bool names_operands) {
    const OpSchema* op = checking_.op(root_name(rule_.terms, rule_.pattern));
    if (op == nullptr || !names_operands || op->name == "grad" || op->name == "vjp") return;
    // Numbers in the pattern leave no choice.
    const Term& call = *root_call(rule_.terms, rule_.pattern);
    std::vector<std::string> data;
    for (std::size_t i = 0; i < op->operands.size(); ++i)
      if (op->operands[i].role == Role::data &&
          !(i < call.args.size() && at(call.args[i]).kind == TermKind::number))
        data.push_back(op->operands[i].name);
    const std::string_view word = rule_.level == RuleLevel::grad ? "grad" : "vjp";
    if (op->variadic())
      checking_.report(
          "R224", at(rule_.pattern).where,
          fmt::format("`{}` has any number of operands; named like this, the rule is for the first one only",
                      op->name),
          fmt::format("leave them out, and the rule is for every operand: `{}(y: {}, g) => ...`, with `wrt "
                      "v` to name the one at hand",
                      word, op->name));
    else if (data.size() > 1)
      checking_.report(
          "R224", at(rule_.pattern).where,
          fmt::format("`{}` has {} data operands ({}), and nothing says which of them the rule is for",
                      op->name, data.size(), join(data)),
          fmt::format("write `wrt` and its name behind the pattern: `{}({}(a, b), g) wrt a => ...`", word,
                      op->name));
  }

  void bind_let(const Let& let, Sort sort) {
    const SourceRange& where = let.where.line == 0 ? rule_.where : let.where;
    if (const Binding* other = names_.find(let.name))
      checking_
          .report("R215", where, fmt::format("the name `{}` is taken", let.name),
                  "give the `let` another name: names are not bound anew")
          .notes.push_back({"it is bound here", other->where});
    names_.bind({let.name, BoundBy::let, where, sort});
  }

  /// The operand that the rule is for, and what must stand beside it in the pattern.
  [[nodiscard]] bool needed_in_place(const std::string& name) const {
    if (rule_.level == RuleLevel::forward) return false;
    if (name == rule_.wrt) return true;
    const auto operands = root_operands(rule_);
    const std::string root = root_name(rule_.terms, rule_.pattern);
    const OpSchema* op = checking_.op(root);
    const bool infix =
        std::find(std::begin(infix_names), std::end(infix_names), root) != std::end(infix_names);
    const std::size_t slots = rule_.wrt.empty() ? 1
                              : infix           ? operands.size()
                              : op != nullptr   ? op->required_operands()
                                                : 1;
    for (std::size_t i = 0; i < std::min(slots, operands.size()); ++i)
      if (std::find(operands[i].begin(), operands[i].end(), name) != operands[i].end()) return true;
    return false;
  }

  void report_unused() {
    const bool bare_root = root_call(rule_.terms, rule_.pattern) == nullptr;
    for (const Binding& entry : names_.entries()) {
      if (entry.read || entry.times > 1) continue;
      switch (entry.by) {
        case BoundBy::let:
          checking_.report("R212", entry.where, fmt::format("`{}` is never used", entry.name),
                           "leave the `let` out");
          break;
        case BoundBy::cotangent:
          checking_.report(
              "R211", entry.where,
              fmt::format("the cotangent `{}` is never used: what reaches the operation is lost", entry.name),
              fmt::format("write `_` for it if that is meant, as in `grad(softmax(x), _) => 0`"));
          break;
        case BoundBy::label:
          // The names of labelled operations go over to what replaces them.
          if (rule_.level == RuleLevel::forward || needed_in_place(entry.name)) break;
          checking_.report("R211", entry.where, fmt::format("the label `{}` is never used", entry.name),
                           fmt::format("leave `{}:` out", entry.name));
          break;
        case BoundBy::variable:
          if (bare_root)
            report_bare_root(entry);
          else if (!needed_in_place(entry.name))
            checking_.report("R211", entry.where, fmt::format("the variable `{}` is never used", entry.name),
                             "write `_` for an operand that does not matter; operands at the end may be left "
                             "out: `affine(x)`");
          break;
        default:
          break;
      }
    }
  }

  /// `grad(rleu, g)`: a name at the root matches every operation, which is seldom meant.
  void report_bare_root(const Binding& entry) {
    const std::string near = nearest_name(entry.name, checking_.operation_names());
    if (!near.empty() && entry.name.size() > 2)
      checking_.report("R202", entry.where,
                       unknown_name_message("operator or class", entry.name, checking_.operation_names()),
                       "a name that is no operator matches every operation; write `_` if that is meant");
    else
      checking_.report("R211", entry.where,
                       fmt::format("`{}` matches every operation and is never used", entry.name),
                       "write `_` if every operation is meant, or the operator or class that is");
  }

  Checking& checking_;
  const Rule& rule_;
  Names names_;
};

}  // namespace

void check_rule_set(Checking& checking, const RuleSet& set) {
  Names parameters;
  bind_parameters(checking, set.terms, set.parameters, parameters, set.name);
  std::map<std::string, SourceRange> named;
  for (const Rule& rule : set.rules) {
    if (!rule.name.empty())
      if (const auto [first, fresh] = named.emplace(rule.name, rule.where); !fresh)
        checking
            .report("R241", rule.where,
                    fmt::format("the rule set `{}` has two rules named `{}`", set.name, rule.name),
                    "give one of them another name")
            .notes.push_back({"the first one is here", first->second});
    const std::size_t before = checking.error_count();
    RuleChecker(checking, rule, parameters).run();
    if (checking.error_count() != before)
      checking.broken.insert(&rule);
    else if (checking.context.try_examples)
      check_on_examples(checking, set, rule);
  }
  TermChecker uses(checking, set.terms, parameters, Place::argument);
  for (const TermId id : set.uses) {
    const Term& use = set.terms[static_cast<std::size_t>(id)];
    if (const RuleSet* used = checking.rule_set(use.name))
      uses.check_arguments(use, "rule set", used->parameters);
    else
      checking.report("R204", use.where,
                      unknown_name_message("rule set", use.name, checking.rule_set_names()));
  }
  report_unread_parameters(checking, parameters, fmt::format("the rule set `{}`", set.name));
}

void bind_parameters(Checking& checking, const Terms& terms, const std::vector<Parameter>& parameters,
                     Names& names, std::string_view owner) {
  for (const Parameter& parameter : parameters) {
    if (parameter.fallback != no_term)
      TermChecker(checking, terms, names, Place::argument)
          .check_parameter_value(parameter, parameter.fallback, true, owner);
    const bool callable =
        parameter.type == "sampler" || parameter.type == "analyzer" || parameter.type == "rules";
    // A parameter without a type may be given a number or an array of numbers.
    names.bind({parameter.name, callable ? BoundBy::callable : BoundBy::parameter, parameter.where,
                parameter.type.empty() ? Sort::unknown : Sort::tensor});
  }
}

void report_unread_parameters(Checking& checking, const Names& names, std::string_view owner) {
  for (const Binding& entry : names.entries())
    if (!entry.read && (entry.by == BoundBy::parameter || entry.by == BoundBy::callable))
      checking.report("R213", entry.where,
                      fmt::format("{} never reads its parameter `{}`", owner, entry.name),
                      "leave it out, or use it");
}

void check_function(Checking& checking, const Function& function) {
  Names names;
  for (std::size_t i = 0; i < function.parameters.size(); ++i)
    names.bind({function.parameters[i], BoundBy::parameter,
                i < function.parameters_where.size() ? function.parameters_where[i] : function.where,
                Sort::unknown});
  TermChecker body(checking, function.terms, names, Place::function);
  for (const Let& let : function.lets) {
    const Sort sort = body.check(let.value);
    if (const Binding* other = names.find(let.name))
      checking
          .report("R215", let.where, fmt::format("the name `{}` is taken", let.name),
                  "give the `let` another name: names are not bound anew")
          .notes.push_back({"it is bound here", other->where});
    names.bind({let.name, BoundBy::let, let.where.line == 0 ? function.where : let.where, sort});
  }
  (void)body.check(function.result);
  for (const Binding& entry : names.entries())
    if (!entry.read && entry.by == BoundBy::let)
      checking.report("R212", entry.where, fmt::format("`{}` is never used", entry.name),
                      "leave the `let` out");
  report_unread_parameters(checking, names, fmt::format("the fn `{}`", function.name));
}

namespace {

/// An activation keeps the shape of its operand, which rules for the class rely on.
void check_class_on_examples(Checking& checking, const CompositeOp& op) {
  if (op.op_class != "activation") return;
  const OpSchema* schema = checking.trial_operators().find(op.name);
  if (schema == nullptr || !schema->examples) return;
  RandomEngine random(7);
  for (const OpExample& example : schema->examples(random)) {
    std::vector<Type> types;
    for (const ExampleOperand& operand : example.operands)
      types.push_back({DType::float64, Shape::of(operand.dims)});
    const Type result = schema->infer(types, {});
    if (result == types[0]) continue;
    checking.report("R263", op.op_class_where.line == 0 ? op.where : op.op_class_where,
                    fmt::format("an activation keeps the type of its operand, but `{}` makes {} of {}",
                                op.name, to_string(result), to_string(types[0])),
                    "name the class that fits, or none");
    return;
  }
}

}  // namespace

void check_composite(Checking& checking, const CompositeOp& op) {
  Names names;
  for (std::size_t i = 0; i < op.parameters.size(); ++i)
    names.bind({op.parameters[i], BoundBy::parameter,
                i < op.parameters_where.size() ? op.parameters_where[i] : op.where, Sort::tensor});
  if (!op.op_class.empty() && !op_class_from_name(op.op_class))
    checking.report(
        "R202", op.op_class_where,
        unknown_name_message("class", op.op_class,
                             std::vector<std::string>(std::begin(op_class_names), std::end(op_class_names))));
  const std::size_t before = checking.error_count();
  (void)TermChecker(checking, op.terms, names, Place::composite).check(op.result);
  if (checking.error_count() == before && checking.context.try_examples)
    check_class_on_examples(checking, op);
  report_unread_parameters(checking, names, fmt::format("the operator `{}`", op.name));
}

}  // namespace rulegrad::checking
