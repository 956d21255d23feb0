#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "check/terms.hpp"
#include "rewrite/match.hpp"
#include "rule/number_range.hpp"
#include "support/text.hpp"

/// The words of the language: their arguments, and where they may stand; and what parameters are given.
namespace rulegrad::checking {
namespace {

/// `v`, `axis`, `like`: without the brackets of those that may be left out.
std::vector<std::string> parameter_names(const Word& word) {
  std::vector<std::string> names;
  std::string name;
  for (const char c : word.parameters) {
    if (c == ',') {
      names.push_back(std::move(name));
      name.clear();
    } else if (c != ' ' && c != '[' && c != ']') {
      name += c;
    }
  }
  if (!name.empty()) names.push_back(std::move(name));
  // `through=class` says how it is given, not what it is called.
  for (std::string& option : names) option.resize(std::min(option.size(), option.find('=')));
  return names;
}

std::string signature(std::string_view name, const std::vector<Parameter>& parameters) {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters) names.push_back(parameter.name);
  return fmt::format("{}({})", name, join(names));
}

}  // namespace

Sort TermChecker::call_word(const Word& word, const Term& term) {
  const std::size_t before = checking_.error_count();
  check_word_place(word, term.where, nullptr);
  const bool misplaced = checking_.error_count() != before;
  const std::vector<std::string> parameters = parameter_names(word);
  std::size_t given = 0;
  for (const TermId arg : term.args) given += at(arg).kind == TermKind::spread ? 0 : 1;
  // `relevance of m` is written with words of its own.
  for (const auto& [name, value] : term.named) {
    if (word.position_of(name) || std::find(parameters.begin(), parameters.end(), name) != parameters.end())
      ++given;
    else if (name != "of")
      checking_.report(
          "R221", at(value).where,
          fmt::format("{}; it is written `{}`",
                      unknown_name_message("argument of " + std::string(word.name), name, parameters),
                      word.usage()));
  }
  if (const std::string wrong = wrong_argument_count(word, given); !wrong.empty())
    checking_.report("R221", term.where, wrong);

  const bool diff = word.name == "diff";
  inside_diff_ += diff ? 1 : 0;
  const auto check_argument = [&](const auto& self, const std::string& parameter, TermId value) -> void {
    const Term& given_term = at(value);
    if (parameter == "class") {
      if (given_term.kind == TermKind::call && given_term.name == "or") {
        for (const TermId either : given_term.args) self(self, parameter, either);
        return;
      }
      const bool named = given_term.kind == TermKind::variable;
      if (named && (checking_.names_operation(given_term.name) || names_.find(given_term.name) != nullptr)) {
        if (Binding* bound = names_.find(given_term.name)) bound->read = true;
        return;
      }
      checking_.report(
          "R202", given_term.where,
          named ? unknown_name_message("operator or class", given_term.name, checking_.operation_names())
                : fmt::format("`{}` takes an operator or a class", word.usage()),
          fmt::format("write `{}(affine)` or `{}(conv)`", word.name, word.name));
      return;
    }
    const Sort sort = check(value);
    if (word.name != "vjp" || parameter != "E") return;
    const Binding* bound = given_term.kind == TermKind::variable ? names_.find(given_term.name) : nullptr;
    if (bound != nullptr &&
        (bound->by == BoundBy::variable || bound->by == BoundBy::cotangent || bound->by == BoundBy::slot))
      checking_
          .report(
              "R223", given_term.where,
              fmt::format("`vjp` differentiates an operation, and `{}` is {}", bound->name,
                          bound->by == BoundBy::cotangent ? "the cotangent" : "an operand"),
              "label the operation in the pattern and write the label: `grad(y: affine(x), r) => vjp(y, r)`")
          .notes.push_back({"it is bound here", bound->where});
    else if (sort == Sort::number)
      checking_.report(
          "R223", given_term.where,
          fmt::format("`vjp` differentiates an operation, and `{}` is a number", print_term(terms_, value)),
          "label the operation in the pattern: `grad(y: affine(x), r) => vjp(y, r)`");
  };
  const auto argument = [&](std::size_t position, TermId value) {
    check_argument(check_argument,
                   word.takes_class(position, given) ? "class" : std::string(word.parameter(position, given)),
                   value);
  };
  for (std::size_t i = 0; i < term.args.size(); ++i) argument(i, term.args[i]);
  for (const auto& [name, value] : term.named) {
    if (name == "of" && word.name == "relevance") {
      Parameter method;
      method.type = "analyzer";
      check_parameter_value(method, value, false, {});
    } else {
      argument(word.position_of(name).value_or(given), value);
    }
  }
  inside_diff_ -= diff ? 1 : 0;

  if (misplaced) return Sort::unknown;
  if (word.kind == WordKind::fact) return Sort::number;
  return word.gives_tensor || word.kind == WordKind::gradient ? Sort::tensor : Sort::unknown;
}

void TermChecker::check_word_place(const Word& word, const SourceRange& where, const Function* through) {
  const auto report = [&](std::string code, std::string message, std::string help) {
    if (through != nullptr) message = fmt::format("`{}` says `{}`: {}", through->name, word.name, message);
    Diagnostic& finding = checking_.report(std::move(code), where, std::move(message), std::move(help));
    if (through != nullptr) finding.notes.push_back({"the fn is defined here", through->where});
  };
  const bool decides = place_ == Place::guard || place_ == Place::selector;
  switch (word.kind) {
    case WordKind::gradient:
      if (word.name == "const") {
        if (inside_diff_ == 0 && place_ != Place::function && place_ != Place::forward && through == nullptr)
          report("R232",
                 "`const(e)` holds e fixed while something differentiates: in a `diff`, or in a forward "
                 "rule; here there is nothing to hold",
                 "write `diff(const(x) * w, w, g)`, or leave `const` out");
        return;
      }
      if (decides)
        return report("R233",
                      fmt::format("`{}` is a value, and {} is decided before any value is known",
                                  word.usage(), place_ == Place::guard ? "a guard" : "a selector"),
                      "ask for operators, attributes, shapes, names or positions");
      if (word.name == "grad")
        return report("R230", "a `grad` is left open on the right: nothing would rewrite it",
                      "write `vjp(E, g)` for the derivative itself, or `next(g)` for what the rules below "
                      "this one make of g");
      if (place_ == Place::derivative)
        return report(
            "R231", fmt::format("a derivative rule closes `vjp`, so `{}` would never end", word.name),
            "write the derivative with operators; `grad(...)` rules may use `vjp`, `next` and `diff`");
      if (place_ == Place::forward)
        return report("R231",
                      fmt::format("a forward rule rewrites values, where `{}` has no meaning", word.name),
                      "only `grad(...)` rules hold derivatives");
      if (place_ != Place::gradient && place_ != Place::function)
        return report("R234", fmt::format("`{}` belongs to the results of gradient rules", word.usage()),
                      "analyzers use rule sets: `use { grad(y: affine(x), r) => vjp(y, r) }`");
      return;
    case WordKind::fact:
      if (place_ == Place::gradient || place_ == Place::derivative || place_ == Place::forward ||
          place_ == Place::composite)
        report("R234", fmt::format("`{}` is a question about the graph, which guards ask", word.usage()),
               fmt::format("write two rules, the first of them `when {}`", word.usage()));
      return;
    case WordKind::simplifier:
      report("R234", fmt::format("`{}` is for the rules of the simplifier", word.usage()),
             "ask for operators, attributes, shapes, names or positions: what a method gives must not change "
             "when more can be inferred");
      return;
    case WordKind::recipe:
      if (place_ != Place::recipe && place_ != Place::argument && place_ != Place::function)
        report("R234", fmt::format("`{}` belongs to analyzers", word.usage()),
               "say it in the `seed`, `at` or `result` of an analyzer, or hand it to the rule set as a "
               "parameter");
      return;
    case WordKind::value:
      return;
  }
}

void TermChecker::check_arguments(const Term& reference, std::string_view kind,
                                  const std::vector<Parameter>& parameters) {
  const std::string form = signature(reference.name, parameters);
  if (reference.args.size() > parameters.size())
    checking_.report(
        "R250", reference.where,
        parameters.empty()
            ? fmt::format("the {} `{}` takes no parameters but {} given", kind, reference.name,
                          reference.args.size() == 1 ? "one argument is"
                                                     : fmt::format("{} arguments are", reference.args.size()))
            : fmt::format("the {} `{}` takes {} but {} arguments are given", kind, form,
                          counted(parameters.size(), "parameter"), reference.args.size()),
        parameters.empty() ? fmt::format("write `{}`", reference.name) : fmt::format("write `{}`", form));
  std::vector<bool> has(parameters.size(), false);
  for (std::size_t i = 0; i < reference.args.size(); ++i) {
    if (i >= parameters.size()) {
      (void)check(reference.args[i]);
      continue;
    }
    has[i] = true;
    check_parameter_value(parameters[i], reference.args[i], false, reference.name);
  }
  for (const auto& [name, value] : reference.named) {
    const auto found = std::find_if(parameters.begin(), parameters.end(),
                                    [&name = name](const Parameter& p) { return p.name == name; });
    if (found == parameters.end()) {
      std::vector<std::string> known;
      for (const Parameter& parameter : parameters) known.push_back(parameter.name);
      checking_.report(
          "R206", at(value).where,
          parameters.empty()
              ? fmt::format("the {} `{}` takes no parameters, but `{}` is given", kind, reference.name, name)
              : unknown_name_message(fmt::format("parameter of {}", reference.name), name, known));
      (void)check(value);
      continue;
    }
    const auto i = static_cast<std::size_t>(found - parameters.begin());
    if (has[i])
      checking_.report("R250", at(value).where,
                       fmt::format("the parameter `{}` of `{}` is given twice: by position and by name", name,
                                   reference.name),
                       "leave one of them out");
    has[i] = true;
    check_parameter_value(*found, value, false, reference.name);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!has[i] && parameters[i].fallback == no_term)
      checking_
          .report("R250", reference.where,
                  fmt::format("the {} `{}` needs a value for its parameter `{}`, which has no default", kind,
                              reference.name, parameters[i].name),
                  fmt::format("write `{}({} = ...)`", reference.name, parameters[i].name))
          .notes.push_back({"the parameter is declared here", parameters[i].where});
}

void TermChecker::check_parameter_value(const Parameter& parameter, TermId value, bool is_default,
                                        std::string_view owner) {
  const Term& term = at(value);
  const bool bound = term.kind == TermKind::variable && names_.find(term.name) != nullptr;
  if (parameter.type == "analyzer" && (term.kind == TermKind::variable || term.kind == TermKind::call) &&
      !bound) {
    if (const AnalyzerDefinition* analyzer = checking_.analyzer(term.name))
      check_arguments(term, "analyzer", analyzer->parameters);
    else
      checking_.report("R205", term.where,
                       unknown_name_message("analyzer", term.name, checking_.analyzer_names()));
    return;
  }
  if (parameter.type == "rules" && (term.kind == TermKind::variable || term.kind == TermKind::call) &&
      !bound) {
    if (const RuleSet* set = checking_.rule_set_near(term.name, owner))
      check_arguments(term, "rule set", set->parameters);
    else
      checking_.report("R204", term.where,
                       unknown_name_message("rule set", term.name, checking_.rule_set_names()));
    return;
  }
  if (parameter.type == "sampler" && term.kind == TermKind::variable && !bound) {
    checking_.check_sampler(term);
    return;
  }
  (void)check(value);
  if (!parameter.range || term.kind != TermKind::number || contains(*parameter.range, term.number)) return;
  Diagnostic& finding = checking_.report(
      "R251", term.where,
      is_default ? fmt::format("the default of `{}` is {}, outside of its own range {}", parameter.name,
                               shortest(term.number), range_text(*parameter.range))
                 : fmt::format("the parameter `{}` must lie in {} but is {}", parameter.name,
                               range_text(*parameter.range), shortest(term.number)),
      is_default ? "widen the range after `in`, or change the default" : std::string());
  if (!is_default) finding.notes.push_back({"the parameter is declared here", parameter.where});
}

}  // namespace rulegrad::checking
