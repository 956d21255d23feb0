#include "rulegrad/explain/unapplied.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <tuple>

#include "rulegrad/rule/rule_text.hpp"

#include "recipe/shipped_rules.hpp"
#include "rewrite/rule_list.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

using Place = std::tuple<std::string, int, int>;

Place place(const SourceRange& where) {
  return {where.file, where.line, where.column};
}

bool ships(std::string_view file) {
  const auto all = shipped_rules();
  return file.empty() ||
         std::any_of(all.begin(), all.end(), [&](const auto& shipped) { return shipped.first == file; });
}

/// What a selector asks names to be like.
std::vector<std::string> globs_in(const Terms& terms, TermId id) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  std::vector<std::string> result;
  const auto take = [&](TermId below) {
    const std::vector<std::string> more = globs_in(terms, below);
    result.insert(result.end(), more.begin(), more.end());
  };
  for (const TermId below : term.args) {
    if (const Term& text = terms[static_cast<std::size_t>(below)];
        term.name == "name" && text.kind == TermKind::text)
      result.push_back(text.name);
    else
      take(below);
  }
  for (const auto& [key, below] : term.named) take(below);
  return result;
}

/// The names that begin most like the glob, at most three.
std::vector<std::string> nearest_names(const std::string& glob, const std::set<std::string>& names) {
  std::string plain;
  for (const char c : glob)
    if (c != '*' && c != '?') plain += c;
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& name : names) {
    const std::string_view whole = name;
    ranked.emplace_back(
        std::min(edit_distance(plain, whole), 1 + edit_distance(plain, whole.substr(0, plain.size()))), name);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> result;
  for (std::size_t i = 0; i < std::min<std::size_t>(ranked.size(), 3); ++i)
    result.push_back(fmt::format("'{}'", ranked[i].second));
  return result;
}

class Looking {
 public:
  Looking(const RuleLibrary& library, const Analysis& analysis)
      : library_(library), sets_(library.rule_set_names()) {
    for (const Expr node : topological_order(std::span(&analysis.output, 1)))
      for (const std::string& name : node.graph().names(node))
        if (!is_constant(node)) names_.insert(name);
    for (const Step& step : analysis.steps) {
      if (!step.match) continue;
      note(*step.match->active);
      for (const auto& below : step.match->below) note(*below);
    }
  }

  void look(const AnalyzerDefinition& definition) {
    for (const Use& use : definition.uses) {
      const std::string& name = definition.terms[static_cast<std::size_t>(use.set)].name;
      if (use.selector != no_term && !ships(definition.where.file) &&
          !applied_.contains(place(definition.terms[static_cast<std::size_t>(use.selector)].where))) {
        std::string help;
        for (const std::string& glob : globs_in(definition.terms, use.selector)) {
          const bool fits = std::any_of(names_.begin(), names_.end(),
                                        [&](const std::string& known) { return glob_match(glob, known); });
          if (!fits && !names_.empty())
            help += fmt::format("{}no node is named like \"{}\"; the nearest names are {}",
                                help.empty() ? "" : "; ", glob, join(nearest_names(glob, names_)));
        }
        found_.push_back(
            {use.where,
             fmt::format("`use {} on {}` never applies to this network",
                         print_term(definition.terms, use.set), print_term(definition.terms, use.selector)),
             std::move(help), true});
        continue;
      }
      used_.push_back(name);
    }
  }

  std::vector<UnappliedRule> found() {
    std::set<std::string> seen;
    for (const std::string& name : used_) rules_of(name, seen);
    return std::move(found_);
  }

 private:
  void note(const ActiveRule& active) {
    applied_.insert(place(active.rule->where));
    for (const ActiveRule::Selector& selector : active.selectors)
      applied_.insert(place((*selector.terms)[static_cast<std::size_t>(selector.term)].where));
  }

  void rules_of(const std::string& name, std::set<std::string>& seen) {
    if (!std::binary_search(sets_.begin(), sets_.end(), name) || !seen.insert(name).second) return;
    const RuleSet& set = library_.rule_set(name);
    for (const Rule& rule : set.rules)
      if (rule.level != RuleLevel::forward && !ships(rule.where.file) &&
          !applied_.contains(place(rule.where)))
        found_.push_back({rule.where,
                          fmt::format("this rule of `{}` never applies to this network", set.name),
                          {},
                          false});
    for (const TermId inner : set.uses) rules_of(set.terms[static_cast<std::size_t>(inner)].name, seen);
  }

  const RuleLibrary& library_;
  std::vector<std::string> sets_;
  std::set<std::string> names_;
  std::set<Place> applied_;
  std::vector<std::string> used_;
  std::vector<UnappliedRule> found_;
};

}  // namespace

std::vector<UnappliedRule> unapplied_rules(const RuleLibrary& library, const AnalyzerCall& call,
                                           const Analysis& analysis) {
  if (analysis.steps.empty()) return {};
  Looking looking(library, analysis);
  const std::vector<std::string> known = library.analyzer_names();
  const AnalyzerDefinition* level = &library.analyzer(call.name);
  for (int depth = 0; depth < 16; ++depth) {
    looking.look(*level);
    if (level->extends == no_term) break;
    const std::string& base = level->terms[static_cast<std::size_t>(level->extends)].name;
    if (!std::binary_search(known.begin(), known.end(), base))
      break;  // a parameter that stands for an analyzer
    level = &library.analyzer(base);
  }
  return looking.found();
}

std::string to_string(const UnappliedRule& rule) {
  return fmt::format("{}:{}:{}: {}{}", rule.where.file, rule.where.line, rule.where.column, rule.message,
                     rule.help.empty() ? "" : "; " + rule.help);
}

}  // namespace rulegrad
