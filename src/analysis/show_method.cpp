#include <set>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/rule_text.hpp"

namespace rulegrad {
namespace {

/// Everything that a method's text refers to, so that what is printed stands on its own.
class Gatherer {
 public:
  explicit Gatherer(const RuleLibrary& library) : library_(library) {}

  RuleFile gather(std::string_view method) {
    add_analyzer(library_.analyzer(method));
    return std::move(file_);
  }

 private:
  void add_analyzer(const AnalyzerDefinition& analyzer) {
    if (!seen_.insert("analyzer " + analyzer.name).second) return;
    if (analyzer.extends != no_term) {
      const std::string& base = analyzer.terms[static_cast<std::size_t>(analyzer.extends)].name;
      bool is_parameter = false;
      for (const Parameter& parameter : analyzer.parameters) is_parameter = is_parameter || parameter.name == base;
      if (!is_parameter) add_analyzer(library_.analyzer(base));
    }
    for (const TermId set : analyzer.canonizers) add_rule_set(analyzer.terms, set);
    for (const Use& use : analyzer.uses) add_rule_set(analyzer.terms, use.set);
    add_functions(analyzer.terms);
    file_.analyzers.push_back(analyzer);
  }

  void add_rule_set(const Terms& terms, TermId id) {
    const RuleSet& rules = library_.rule_set(terms[static_cast<std::size_t>(id)].name);
    if (!seen_.insert("rules " + rules.name).second) return;
    for (const TermId nested : rules.uses) add_rule_set(rules.terms, nested);
    for (const Rule& rule : rules.rules) add_functions(rule.terms);
    file_.rule_sets.push_back(rules);
  }

  void add_functions(const Terms& terms) {
    for (const Term& term : terms) {
      if (term.kind != TermKind::call) continue;
      const auto found = library_.functions().find(term.name);
      if (found == library_.functions().end() || !seen_.insert("fn " + term.name).second) continue;
      add_functions(found->second->terms);
      file_.functions.push_back(*found->second);
    }
  }

  const RuleLibrary& library_;
  std::set<std::string> seen_;
  RuleFile file_;
};

}  // namespace

std::string show_method(const RuleLibrary& library, std::string_view method) { return print(Gatherer(library).gather(method)); }

}  // namespace rulegrad
