#include <utility>

#include "rulegrad/dsl/flat.hpp"

namespace rulegrad::dsl {
namespace {

/// Operators and classes that stand bare in patterns and guards are names, as in the text form.
bool is_bare_name(const FlatTerm& term) {
  return term.kind == TermKind::call && term.side != Side::value && term.args + term.named == 0;
}

Term lower(const FlatRule& rule, const FlatTerm& flat) {
  Term term;
  term.kind = is_bare_name(flat) ? TermKind::variable : flat.kind;
  term.name = flat.name;
  term.where = to_source_range(rule.place);
  if (flat.literal >= 0) {
    const Literal& literal = rule.literals[static_cast<std::size_t>(flat.literal)];
    if (flat.kind == TermKind::number)
      term.number = literal.number;
    else
      term.name = literal.text;
  }
  const auto links = rule.links.subspan(static_cast<std::size_t>(flat.first_link));
  for (std::size_t i = 0; i < static_cast<std::size_t>(flat.args + flat.named); ++i) {
    if (links[i].name.empty())
      term.args.push_back(links[i].term);
    else
      term.named.emplace_back(links[i].name, links[i].term);
  }
  return term;
}

}  // namespace

SourceRange to_source_range(const Place& place) {
  return {place.file, place.line, place.column, 0};
}

Rule lower(const FlatRule& rule) {
  Rule result;
  result.name = rule.name;
  result.level = rule.level;
  result.terms.reserve(rule.terms.size());
  for (const FlatTerm& term : rule.terms) result.terms.push_back(lower(rule, term));
  result.pattern = rule.pattern;
  result.cotangent = rule.cotangent;
  result.wrt = rule.wrt;
  result.guard = rule.guard;
  for (const FlatLet& let : rule.lets) result.lets.push_back({std::string(let.name), let.value});
  result.result = rule.result;
  result.where = to_source_range(rule.place);
  return result;
}

std::vector<Rule> lower(std::span<const FlatRule> rules) {
  std::vector<Rule> result;
  result.reserve(rules.size());
  for (const FlatRule& rule : rules) result.push_back(lower(rule));
  return result;
}

namespace detail {

void add_parameter(RuleSet& set, std::string_view name, std::string_view type, const double* fallback,
                   const NumberRange* range) {
  Parameter parameter;
  parameter.name = name;
  parameter.type = type;
  parameter.where = set.where;
  if (range != nullptr) parameter.range = *range;
  if (fallback != nullptr) {
    Term number;
    number.kind = TermKind::number;
    number.number = *fallback;
    number.where = set.where;
    parameter.fallback = static_cast<TermId>(set.terms.size());
    set.terms.push_back(std::move(number));
  }
  set.parameters.push_back(std::move(parameter));
}

void add_use(RuleSet& set, const FlatRule& use) {
  const auto offset = static_cast<TermId>(set.terms.size());
  for (const FlatTerm& flat : use.terms) {
    Term term = lower(use, flat);
    term.where = set.where;
    for (TermId& arg : term.args) arg += offset;
    for (auto& [name, id] : term.named) id += offset;
    set.terms.push_back(std::move(term));
  }
  set.uses.push_back(offset + use.result);
}

}  // namespace detail
}  // namespace rulegrad::dsl
