#include "recipe/rule_gathering.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "rewrite/evaluate_term.hpp"

namespace rulegrad {
namespace {

class Gathering {
 public:
  Gathering(Graph& graph, const Operators& operators, const RuleLibrary& library,
            const std::vector<ActiveRule::Selector>& selectors, bool forward, RuleList& into)
      : library_(library),
        vocabulary_(operators, library.functions()),
        evaluator_(graph, vocabulary_, no_hooks_),
        selectors_(selectors),
        forward_(forward),
        into_(into) {}

  void add(const Terms& terms, TermId set, const EvaluateTerm& evaluate, int depth = 0) {
    for (ActiveRule& rule : flattened(terms, set, evaluate, depth)) into_.add(std::move(rule));
  }

 private:
  static constexpr std::size_t most_gathered = 20'000;
  std::size_t gathered_ = 0;  ///< sets and rules

  /// The rules of a set in order: its own, then those of the sets it uses. A rule of its own that has the
  /// name of one of theirs takes its place instead.
  std::vector<ActiveRule> flattened(const Terms& terms, TermId set, const EvaluateTerm& evaluate, int depth) {
    const Term& term = terms[static_cast<std::size_t>(set)];
    // A set that uses another twice, and that a third twice, would be gathered for ages.
    if (++gathered_ > most_gathered)
      throw Error(ErrorCode::rule, fmt::format("{}rule sets use others more than {} times",
                                               at_place(term.where), most_gathered));
    if (depth > 32)
      throw Error(ErrorCode::rule, at_place(term.where) + "rule sets use each other in a circle");
    const RuleSet& rules = library_.rule_set(term.name);
    const auto parameters = bind(rules, term, evaluate);
    std::vector<ActiveRule> own, used;
    for (const Rule& rule : rules.rules) {
      if ((rule.level == RuleLevel::forward) != forward_) continue;
      own.push_back({std::make_shared<const Rule>(rule), rules.name, parameters, selectors_});
    }
    gathered_ += own.size();
    const EvaluateTerm inner = [&](TermId id) {
      Scope scope = *parameters;
      return evaluator_.evaluate(rules.terms, id, scope);
    };
    for (const TermId nested : rules.uses)
      for (ActiveRule& rule : flattened(rules.terms, nested, inner, depth + 1))
        used.push_back(std::move(rule));
    std::vector<ActiveRule> result;
    for (ActiveRule& rule : own) {
      const auto namesake = std::find_if(used.begin(), used.end(), [&](const ActiveRule& other) {
        return !rule.rule->name.empty() && other.rule->name == rule.rule->name;
      });
      if (namesake != used.end())
        *namesake = rule;
      else
        result.push_back(std::move(rule));
    }
    for (ActiveRule& rule : used) result.push_back(std::move(rule));
    return result;
  }

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
      scope->bind_copied(parameter.name, std::move(value));
    }
    return scope;
  }

  const RuleLibrary& library_;
  EvaluationHooks no_hooks_;
  Vocabulary vocabulary_;
  Evaluator evaluator_;
  const std::vector<ActiveRule::Selector>& selectors_;
  bool forward_;
  RuleList& into_;
};

}  // namespace

void gather_rules(Graph& graph, const Operators& operators, const RuleLibrary& library, const Terms& terms,
                  TermId set, const EvaluateTerm& evaluate,
                  const std::vector<ActiveRule::Selector>& selectors, bool forward, RuleList& into) {
  Gathering(graph, operators, library, selectors, forward, into).add(terms, set, evaluate);
}

}  // namespace rulegrad
