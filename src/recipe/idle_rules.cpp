// What a walk tells of the rules themselves: that none of them claims a node, or that none claims any.
#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "rulegrad/support/error.hpp"

#include "recipe/advice.hpp"
#include "recipe/recipe_run.hpp"
#include "recipe/rule_gathering.hpp"
#include "recipe/unclaimed.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// The sets of methods that make relevance of what arrives at the input, as `result input * relevance` does:
/// what they hand down is none yet.
std::vector<std::string> sets_of_slopes(const RuleLibrary& library) {
  std::vector<std::string> result;
  for (const std::string& name : library.analyzer_names()) {
    const AnalyzerDefinition& definition = library.analyzer(name);
    if (definition.result == no_term || definition.extends != no_term) continue;
    for (const Use& use : definition.uses)
      result.push_back(definition.terms[static_cast<std::size_t>(use.set)].name);
  }
  return result;
}

}  // namespace

void RecipeRun::refuse_unclaimed(const Unclaimed& unclaimed, const EvaluationHooks& hooks) {
  const Currency currency = currency_of(rules_);
  const std::string prefix = currency == Currency::relevance ? "lrp." : "deeplift.";
  std::vector<std::string> sets;
  std::size_t usual_sets = 0;
  const auto offer = [&](const std::string& set) {
    const std::vector<std::string> known = engine_.library.rule_set_names();
    if (std::find(known.begin(), known.end(), set) != known.end() &&
        std::find(sets.begin(), sets.end(), set) == sets.end())
      sets.push_back(set);
  };
  if (currency != Currency::gradient) {
    for (const char* usual : {"lrp.attention", "lrp.epsilon", "lrp.rest", "deeplift.rescale"})
      if (std::string_view(usual).starts_with(prefix)) offer(usual);
    usual_sets = sets.size();
    const std::vector<std::string> slopes =
        currency == Currency::relevance ? sets_of_slopes(engine_.library) : std::vector<std::string>{};
    for (const std::string& set : engine_.library.rule_set_names())
      if (set.starts_with(prefix) && std::find(slopes.begin(), slopes.end(), set) == slopes.end()) offer(set);
  }
  const RewriteContext context = rewriting();
  std::map<std::string, std::pair<std::unique_ptr<RuleList>, std::unique_ptr<GradientRules>>> gathered;
  const auto claims = [&](const std::string& set, Expr node, std::size_t slot) {
    if (currency == Currency::multipliers && decision_below(std::span(&node, 1), *facts_)) return false;
    auto& [list, rules] = gathered[set];
    try {
      if (!list) {
        list = std::make_unique<RuleList>(engine_.operators);
        Terms terms(1);
        terms[0].kind = TermKind::call;
        terms[0].name = set;
        gather_rules(graph_, engine_.operators, engine_.library, terms, 0, {}, {}, false, *list);
        rules = std::make_unique<GradientRules>(context, *list, hooks);
      }
      return rules != nullptr && rules->apply(node, slot, node).has_value();
    } catch (const Error&) {
      return false;  // it needs arguments, or more than this analyzer has
    }
  };
  std::string base;
  for (const Level& level : levels_) {
    const auto& parameters = level.definition->parameters;
    if (std::any_of(parameters.begin(), parameters.end(),
                    [](const Parameter& p) { return p.fallback == no_term; }))
      continue;
    base = level.definition->name;
    break;
  }
  const std::vector<std::string> taken_sets = engine_.library.rule_set_names(),
                                 taken_methods = engine_.library.analyzer_names();
  std::string own = "mine";
  for (int i = 2; std::binary_search(taken_sets.begin(), taken_sets.end(), own) ||
                  std::binary_search(taken_methods.begin(), taken_methods.end(), own);
       ++i)
    own = fmt::format("mine_{}", i);
  const std::string& name = levels_[0].definition->name;
  throw Error(ErrorCode::unclaimed, unclaimed.message({.analyzer = name,
                                                       .name = own,
                                                       .base = base.empty() ? name : base,
                                                       .rules = rules_,
                                                       .facts = *facts_,
                                                       .sets = std::move(sets),
                                                       .usual = usual_sets,
                                                       .claims = claims}));
}

void RecipeRun::refuse_unmatched() const {
  // The names of other tools stand for what these do, which includes that silence.
  for (const char* tool : {"zennit.", "captum.", "innvestigate."})
    if (levels_[0].definition->name.starts_with(tool)) return;
  if (task_.allow_unmatched || fallback_ == Fallback::error || rules_.size() == 0 || rule_applied_ ||
      analysis_.steps.empty())
    return;
  // Rules that an `on` keeps away are told of as such (unapplied.hpp).
  bool everywhere = false;
  for (std::size_t i = 0; i < rules_.size(); ++i) everywhere = everywhere || rules_[i].selectors.empty();
  if (!everywhere) return;
  std::vector<std::string> wanted;
  for (std::size_t i = 0; i < rules_.size(); ++i)
    if (const std::string root = root_name(rules_[i].rule->terms, rules_[i].rule->pattern);
        !root.empty() && std::find(wanted.begin(), wanted.end(), root) == wanted.end())
      wanted.push_back(root);
  std::vector<std::string> there;
  for (const Step& step : analysis_.steps)
    if (const std::string& op = step.node.op().name; std::find(there.begin(), there.end(), op) == there.end())
      there.push_back(op);
  std::sort(there.begin(), there.end());
  const std::string& name = levels_[0].definition->name;
  throw Error(ErrorCode::rule,
              fmt::format("none of the rules of {0} matches anything here: they are for {1}, and what lies "
                          "between the score and what is explained is {2}. All of "
                          "it would get `default {3}`{4} under the name of {0}. Use another method, or go on "
                          "all the same with --allow-unmatched, "
                          "in a program with the argument allow_unmatched=1",
                          name, join(wanted), join(there),
                          fallback_ == Fallback::gradient ? "gradient"
                          : fallback_ == Fallback::pass   ? "pass"
                                                          : "zero",
                          fallback_ == Fallback::gradient ? ", the plain gradient" : ""));
}

}  // namespace rulegrad
