#include "explain/show_method.hpp"

#include <algorithm>
#include <set>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/rule/rule_text.hpp"

namespace rulegrad {
namespace {

/// Everything that a method's text refers to, so that what is printed stands on its own.
class Gatherer {
 public:
  /// With `only`, what stands in other files is named and not followed.
  explicit Gatherer(const RuleLibrary& library, std::string only = {})
      : library_(library), only_(std::move(only)) {}

  GatheredMethod gather(std::string_view method) {
    add_analyzer(library_.analyzer(method));
    return {std::move(file_), std::move(elsewhere_)};
  }

 private:
  /// Is it left to another file?
  bool left_out(std::string_view kind, const std::string& name, const SourceRange& where) {
    if (only_.empty() || where.file == only_) return false;
    elsewhere_.push_back({std::string(kind), name, where.file});
    return true;
  }

  void add_analyzer(const AnalyzerDefinition& analyzer) {
    if (!seen_.insert("analyzer " + analyzer.name).second ||
        left_out("method", analyzer.name, analyzer.where))
      return;
    const auto add_named = [&](TermId id) {
      const std::string& name = analyzer.terms[static_cast<std::size_t>(id)].name;
      const bool is_parameter =
          std::any_of(analyzer.parameters.begin(), analyzer.parameters.end(),
                      [&](const Parameter& parameter) { return parameter.name == name; });
      if (!is_parameter) add_analyzer(library_.analyzer(name));
    };
    if (analyzer.extends != no_term) add_named(analyzer.extends);
    for (const Parameter& parameter : analyzer.parameters)
      if (parameter.type == "analyzer" && parameter.fallback != no_term) add_named(parameter.fallback);
    for (const Term& term : analyzer.terms)
      if (term.kind == TermKind::call && term.name == "relevance")
        for (const auto& [name, id] : term.named)
          if (name == "of") add_named(id);
    for (const TermId set : analyzer.canonizers) add_rule_set(analyzer.terms, set);
    for (const Use& use : analyzer.uses) {
      const std::string& name = analyzer.terms[static_cast<std::size_t>(use.set)].name;
      const auto parameter =
          std::find_if(analyzer.parameters.begin(), analyzer.parameters.end(),
                       [&](const Parameter& p) { return p.type == "rules" && p.name == name; });
      if (parameter == analyzer.parameters.end())
        add_rule_set(analyzer.terms, use.set);
      else if (parameter->fallback != no_term)
        add_rule_set(analyzer.terms, parameter->fallback);
    }
    add_functions(analyzer.terms);
    file_.analyzers.push_back(analyzer);
  }

  void add_rule_set(const Terms& terms, TermId id) {
    const RuleSet& rules = library_.rule_set(terms[static_cast<std::size_t>(id)].name);
    if (!seen_.insert("rules " + rules.name).second || left_out("rules", rules.name, rules.where)) return;
    for (const TermId nested : rules.uses) add_rule_set(rules.terms, nested);
    for (const Rule& rule : rules.rules) add_functions(rule.terms);
    file_.rule_sets.push_back(rules);
  }

  void add_functions(const Terms& terms) {
    for (const Term& term : terms) {
      if (term.kind != TermKind::call) continue;
      const auto found = library_.functions().find(term.name);
      if (found == library_.functions().end() || !seen_.insert("fn " + term.name).second ||
          left_out("function", term.name, found->second->where))
        continue;
      add_functions(found->second->terms);
      file_.functions.push_back(*found->second);
    }
  }

  const RuleLibrary& library_;
  std::string only_;
  std::set<std::string> seen_;
  RuleFile file_;
  std::vector<GatheredMethod::Elsewhere> elsewhere_;
};

}  // namespace

std::string show_method(const RuleLibrary& library, std::string_view method) {
  return print(Gatherer(library).gather(method).own);
}

GatheredMethod gather_own_file(const RuleLibrary& library, std::string_view method) {
  return Gatherer(library, library.analyzer(method).where.file).gather(method);
}

}  // namespace rulegrad
