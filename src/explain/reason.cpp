#include "explain/reason.hpp"

#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

const Term& at(const Terms& terms, TermId id) {
  return terms[static_cast<std::size_t>(id)];
}

bool is_call(const Term& term, std::string_view name, std::size_t arguments) {
  return term.kind == TermKind::call && term.name == name && term.args.size() == arguments;
}

std::string with_article(const std::string& name) {
  return fmt::format("{} {}", std::string_view("aeiou").find(name[0]) == std::string_view::npos ? "a" : "an",
                     name);
}

/// `an affine operator`, `a relu`; without its article for `first` and `last`.
std::string kind(const std::string& name, bool article) {
  const std::string text = op_class_from_name(name) ? name + " operator" : name;
  return article ? with_article(text) : text;
}

std::string words_of(const Terms& terms, TermId id, bool denied) {
  const Term& term = at(terms, id);
  const auto argument = [&](std::size_t i) { return print_term(terms, term.args[i]); };
  const std::string is_not = denied ? "not " : "";
  if (is_call(term, "not", 1)) return words_of(terms, term.args[0], !denied);
  if (is_call(term, "and", 2) || is_call(term, "or", 2)) {
    // What is denied as a whole turns: neither ... nor.
    const bool both = (term.name == "and") != denied;
    return fmt::format("{} {} {}", words_of(terms, term.args[0], denied), both ? "and" : "or",
                       words_of(terms, term.args[1], denied));
  }
  if (term.kind == TermKind::variable &&
      (op_class_from_name(term.name) || Operators::builtin().find(term.name) != nullptr))
    return is_not + kind(term.name, true);
  if (is_call(term, "first", 1) || is_call(term, "last", 1))
    return fmt::format("{}the {} {}", is_not, term.name, kind(argument(0), false));
  if (is_call(term, "depends", 1))
    return fmt::format("{} {} on the input", argument(0), denied ? "does not depend" : "depends");
  if (is_call(term, "only_use", 1))
    return fmt::format("{} but this uses {}", denied ? "more" : "nothing", argument(0));
  if (is_call(term, "name", 1)) return fmt::format("{}named {}", is_not, argument(0));
  if (is_call(term, "name", 2)) return fmt::format("{} {}named {}", argument(0), is_not, argument(1));
  return denied ? fmt::format("not {}", print_term(terms, id)) : print_term(terms, id);
}

}  // namespace

std::string in_words(const Terms& terms, TermId condition) {
  return words_of(terms, condition, false);
}

std::string place_label(const SourceRange& where) {
  return where.file.empty() ? std::string() : fmt::format("{}:{}", where.file, where.line);
}

std::string rule_label(const Step& step) {
  std::string text =
      step.by->rule.empty() ? step.by->rule_set : fmt::format("{} / {}", step.by->rule_set, step.by->rule);
  if (step.match)
    for (const auto& below : step.match->below) text += ", then " + below->set;
  return text;
}

std::string reason(const Step& step) {
  if (!step.match) return "no rule claims it";
  const ActiveRule& active = *step.match->active;
  std::vector<std::string> parts;
  for (const ActiveRule::Selector& selector : active.selectors)
    parts.push_back(in_words(*selector.terms, selector.term));
  const Rule& rule = *active.rule;
  if (rule.guard != no_term) parts.push_back(in_words(rule.terms, rule.guard));
  if (!parts.empty()) return join(parts, "; ");
  const Term* call = root_call(rule.terms, rule.pattern);
  const auto plain = [&](TermId id) {
    return at(rule.terms, id).kind == TermKind::variable || at(rule.terms, id).kind == TermKind::ellipsis;
  };
  const std::string root = root_name(rule.terms, rule.pattern);
  bool says_more = call != nullptr && !call->named.empty();
  if (call != nullptr)
    for (const TermId operand : call->args) says_more = says_more || !plain(operand);
  if (says_more) return "matches " + print_term(rule.terms, rule.pattern);
  return root.empty() ? "any operator" : "any " + kind(root, false);
}

}  // namespace rulegrad
