#include "analysis/rule_gathering.hpp"

#include "rewrite/evaluate.hpp"
#include "rulegrad/error.hpp"

namespace rulegrad {
namespace {

class Gathering {
 public:
  Gathering(Graph& graph, const Operators& operators, const RuleLibrary& library, const std::vector<ActiveRule::Selector>& selectors,
            bool forward, RuleList& into)
      : library_(library), evaluator_(graph, operators, library.functions(), no_hooks_), selectors_(selectors), forward_(forward), into_(into) {}

  void add(const Terms& terms, TermId set, const EvaluateTerm& evaluate, int depth = 0) {
    const Term& term = terms[static_cast<std::size_t>(set)];
    if (depth > 32) throw Error(ErrorCode::rule, at_place(term.where) + "rule sets use each other in a circle");
    const RuleSet& rules = library_.rule_set(term.name);
    const auto parameters = bind(rules, term, evaluate);
    for (const Rule& rule : rules.rules) {
      if ((rule.level == RuleLevel::forward) != forward_) continue;
      into_.add({std::make_shared<const Rule>(rule), rules.name, parameters, selectors_});
    }
    const EvaluateTerm inner = [&](TermId id) {
      Scope scope = *parameters;
      return evaluator_.evaluate(rules.terms, id, scope);
    };
    for (const TermId nested : rules.uses) add(rules.terms, nested, inner, depth + 1);
  }

 private:
  std::shared_ptr<const Scope> bind(const RuleSet& rules, const Term& call, const EvaluateTerm& evaluate) {
    std::vector<std::string> names(call.args.size());
    std::vector<TermId> terms = call.args;
    for (const auto& [name, id] : call.named) {
      names.push_back(name);
      terms.push_back(id);
    }
    names = names_of_arguments(rules.name, rules.parameters, names);
    auto scope = std::make_shared<Scope>();
    for (const Parameter& parameter : rules.parameters) {
      const auto found = std::find(names.begin(), names.end(), parameter.name);
      if (found == names.end() && parameter.fallback == no_term) fail_missing(rules.name, parameter);
      Scope earlier = *scope;
      Value value = found != names.end() ? evaluate(terms[static_cast<std::size_t>(found - names.begin())])
                                         : evaluator_.evaluate(rules.terms, parameter.fallback, earlier);
      check_range(rules.name, parameter, value);
      scope->bind(parameter.name, std::move(value));
    }
    return scope;
  }

  const RuleLibrary& library_;
  EvaluationHooks no_hooks_;
  Evaluator evaluator_;
  const std::vector<ActiveRule::Selector>& selectors_;
  bool forward_;
  RuleList& into_;
};

}  // namespace

void gather_rules(Graph& graph, const Operators& operators, const RuleLibrary& library, const Terms& terms, TermId set,
                  const EvaluateTerm& evaluate, const std::vector<ActiveRule::Selector>& selectors, bool forward, RuleList& into) {
  Gathering(graph, operators, library, selectors, forward, into).add(terms, set, evaluate);
}

}  // namespace rulegrad
