#include "rulegrad/recipe/analyzer.hpp"

#include <algorithm>

#include "rulegrad/support/error.hpp"

#include "expr/node_map.hpp"
#include "recipe/recipe_run.hpp"

namespace rulegrad {
namespace {

/// What inner nodes are computed from: guards ask whether values depend on it. Integers count where they are
/// looked up in a table, not as masks.
std::vector<Expr> sources_of(std::span<const Expr> nodes) {
  std::vector<Expr> result;
  const std::vector<Expr> order = topological_order(nodes);
  NodeMap<bool> given(order.size());  // does an input stand below?
  for (const Expr node : order) {
    const auto operands = node.operands();
    given.emplace(node, is_input(node) || std::any_of(operands.begin(), operands.end(),
                                                      [&](Expr e) { return given.at(e); }));
    const bool looked_up = node.is("gather") && is_constant(node.operand(0)) && given.at(node.operand(1));
    if (is_floating(node.dtype()) && (is_input(node) || looked_up)) result.push_back(node);
  }
  return result;
}

/// Which explained values are explained together.
std::vector<std::vector<std::size_t>> groups_of(std::span<const Expr> explained, bool moves_input,
                                                bool each) {
  std::vector<std::vector<std::size_t>> groups;
  std::vector<std::size_t> together;
  for (std::size_t i = 0; i < explained.size(); ++i) {
    if (each || (moves_input && !is_input(explained[i])))
      groups.push_back({i});
    else
      together.push_back(i);
  }
  if (!together.empty()) groups.insert(groups.begin(), together);
  return groups;
}

}  // namespace

Analysis analyze(const RuleLibrary& library, const AnalyzerCall& call, const Question& question,
                 const Operators& operators, const Samplers& samplers) {
  if (question.explained.empty())
    throw Error(ErrorCode::invalid_argument, "nothing is explained: Question::explained is empty");
  Graph& graph = question.output.graph();
  // The caller's operators beside those that rule files define, which the nodes of the graph will refer to.
  Operators merged;
  if (&operators != &Operators::builtin()) {
    merged = operators;
    for (const auto& composite : library.composites()) merged.add(composite);
  }
  for (const auto& composite : library.composites()) graph.keep_alive(composite);
  const Engine engine{library, &operators == &Operators::builtin() ? library.operators() : merged, samplers};
  const auto run_of = [&](const std::vector<std::size_t>& members) {
    Task task{.output = question.output,
              .explained = {},
              .inputs = {},
              .keep = question.keep,
              .target = question.target,
              .seed = question.seed,
              .seed_tensor = question.seed_tensor,
              .read_array = question.read_array,
              .aux = question.aux,
              .depth = 0,
              .stream = 0};
    std::vector<Expr> inner;
    for (const std::size_t i : members) {
      task.explained.push_back(question.explained[i]);
      if (!question.explained[i].operands().empty()) inner.push_back(question.explained[i]);
    }
    task.inputs = sources_of(inner);
    task.stream = static_cast<std::int64_t>(members.front());
    return std::make_unique<RecipeRun>(engine, call.name, lazy_arguments(graph, call), std::move(task));
  };
  std::vector<std::size_t> all(question.explained.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  auto run = run_of(all);
  const auto groups = groups_of(question.explained, run->moves_input(),
                                run->slides_over_input() || run->chooses_feature_map());
  if (groups.size() == 1) return std::move(run->run());

  Analysis whole;
  whole.attributions.resize(all.size());
  whole.relevance.resize(all.size());
  for (const auto& members : groups) {
    const Analysis part = std::move(run_of(members)->run());
    for (std::size_t k = 0; k < members.size(); ++k) {
      whole.attributions[members[k]] = part.attributions[k];
      if (!part.relevance.empty()) whole.relevance[members[k]] = part.relevance[k];
    }
    whole.seed = part.seed;
    whole.output = part.output;
    whole.steps.insert(whole.steps.end(), part.steps.begin(), part.steps.end());
    whole.rewrites = part.rewrites;
    whole.explained.insert(whole.explained.end(), part.explained.begin(), part.explained.end());
    whole.notes.insert(whole.notes.end(), part.notes.begin(), part.notes.end());
    for (Analysis::Total total : part.totals) {
      for (std::size_t& member : total.members) member = members[member];
      whole.totals.push_back(std::move(total));
    }
  }
  if (!whole.relevance[0]) whole.relevance.clear();
  return whole;
}

}  // namespace rulegrad
