#include <algorithm>
#include <unordered_set>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/walk.hpp"
#include "recipe/recipe_run.hpp"

namespace rulegrad {
namespace {

bool declares(const AnalyzerDefinition& definition, std::string_view property) {
  return std::find(definition.properties.begin(), definition.properties.end(), property) !=
         definition.properties.end();
}

/// `mean over i (relevance)`: what each sample adds up to, the mean does.
bool is_mean_of_relevance(const AnalyzerDefinition& definition) {
  if (definition.result == no_term) return true;
  const Term& result = definition.terms[static_cast<std::size_t>(definition.result)];
  if (result.kind != TermKind::reduce || result.name != "mean" || result.args.size() != 1) return false;
  const Term& of = definition.terms[static_cast<std::size_t>(result.args[0])];
  return of.kind == TermKind::variable && of.name == "relevance";
}

bool comes_from_input(Expr e) {
  const std::vector<Expr> order = topological_order(std::span(&e, 1));
  return std::any_of(order.begin(), order.end(), [](Expr below) { return is_input(below); });
}

}  // namespace

/// Does every way from the output to what the network is given pass one of these? Masks and the like, which
/// are integers that no table is asked for, are not what relevance goes to.
bool RecipeRun::nothing_passes(std::span<const Expr> nodes) const {
  const std::unordered_set<Expr> passed(nodes.begin(), nodes.end());
  bool nothing = true;
  for_each_below(
      output_, [](Expr) { return true; },
      [&](Expr node) {
        if (!nothing || passed.contains(node)) return false;
        const bool looked_up = node.is("gather") && is_floating(node.dtype()) && is_constant(node.operand(0));
        nothing = !(is_input(node) && is_floating(node.dtype())) &&
                  !(looked_up && comes_from_input(node.operand(1)));
        return !looked_up;
      });
  return nothing;
}

/// [B, scores] as [B].
Expr RecipeRun::over_scores(Expr values) {
  return graph_.apply(engine_.operators.at("sum"), {values}, ReduceAttributes{{1}, false});
}

/// The score less the score at the baseline, which is the world `base` or the parameter `baseline` of the
/// first level that has one; absent where there is neither, where it was asked for with another method
/// inside, or starts from a seed of its own.
Expr RecipeRun::score_lost() {
  for (std::size_t k = 0; k < levels_.size(); ++k) {
    Level& level = levels_[k];
    if (level.definition->seed != no_term && task_.seed == Question::Seed::own) return {};
    for (const Parameter& parameter : level.definition->parameters)
      if (const auto chosen = level.methods.find(parameter.name);
          chosen != level.methods.end() &&
          (parameter.fallback == no_term ||
           chosen->second != print_term(level.definition->terms, parameter.fallback)))
        return {};
    World base;
    for (const auto& [node, value] : level.user.placements()) base.place(node, value);
    if (const auto world = level.points.find("base"); world != level.points.end()) {
      base = world->second;
    } else if (level.scope.find("baseline") != nullptr) {
      for (const Expr node : explained_) {
        const auto value = conform(rewriting_by_user(), *scope_for(k, node).find("baseline"), node.type(),
                                   [] { return std::string("the baseline"); });
        base.place(node, value ? *value : zeros(node.type()));
      }
    } else {
      continue;
    }
    const auto& operators = engine_.operators;
    const Expr difference =
        graph_.apply(operators.at("sub"), {level.user.image(output_), base.image(output_)});
    Expr lost = over_scores(graph_.apply(operators.at("mul"), {score_seed(), difference}));
    for (const Level& outer : levels_)
      for (const Loop& loop : outer.loops)
        if ((lost.loops() >> loop.depth & 1) != 0)
          lost = graph_.make(reduce_samples_schema(), {lost},
                             ReduceSamplesAttributes{SampleReduction::mean, loop.depth, loop.count});
    return lost;
  }
  return {};
}

void RecipeRun::find_totals() {
  bool conserves = false, completes = false;
  for (const Level& level : levels_) {
    conserves = declares(*level.definition, "conserves");
    completes = declares(*level.definition, "completes");
    // What builds on another analyzer and averages its answers, or changes nothing of them, may promise the
    // same.
    if (conserves || completes || !is_mean_of_relevance(*level.definition)) break;
  }
  const auto all_are = [&](auto&& holds) { return std::all_of(explained_.begin(), explained_.end(), holds); };
  if (!(conserves || completes) || !all_are([](Expr node) { return is_floating(node.dtype()); })) return;
  std::vector<std::size_t> all(explained_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  if (completes) {
    if (const Expr lost = score_lost()) analysis_.totals.push_back({lost, all});
    return;
  }
  if (!analysis_.seed || analysis_.seed.loops() != 0) return;
  const Expr sent = over_scores(analysis_.seed);
  if (all_are([](Expr node) { return node.operands().empty(); })) {
    if (nothing_passes(explained_)) analysis_.totals.push_back({sent, all});
    return;
  }
  for (const std::size_t i : all)
    if (nothing_passes(std::span(explained_).subspan(i, 1))) analysis_.totals.push_back({sent, {i}});
  if (!analysis_.totals.empty() || !nothing_passes(explained_)) return;
  const auto below_another = [&](Expr node) {
    const auto order = topological_order(node.operands());
    return std::any_of(explained_.begin(), explained_.end(), [&](Expr other) {
      return std::find(order.begin(), order.end(), other) != order.end();
    });
  };
  if (std::none_of(explained_.begin(), explained_.end(), below_another))
    analysis_.totals.push_back({sent, all});
}

}  // namespace rulegrad
