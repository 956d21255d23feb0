#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

/// What an analyzer did to a network, told after the fact: which rule closed each gradient node and why, the
/// rewritten graph as a picture, the whole derivation of one node. Where relevance went: relevance_flow.hpp;
/// two analyzers: comparison.hpp.
namespace [[gnu::visibility("default")]] rulegrad {

/// One gradient node in words.
struct ExplainedStep {
  std::size_t step = 0;  ///< index into Analysis::steps
  std::string
      node;  ///< first name of the forward operation; `relu(7)`, by place in the graph, where it has none
  std::string op;
  std::string operand;
  std::string rule;   ///< `lrp.epsilon`, `lrp.epsilon / name`, or `default gradient` and the like
  std::string place;  ///< `rules/lrp.rules:12`; empty for defaults
  std::string
      why;  ///< selector and guard that held, in plain words; what the pattern is for where there is neither
};

/// One row a gradient node, in the order of the reverse walk.
[[nodiscard]] std::vector<ExplainedStep> explained_steps(const Analysis& analysis);

/// One change that a canonizer made before, in words.
struct ExplainedRewrite {
  std::string before;  ///< `batch_norm 'bn1'`
  std::string folded;  ///< the operations below it that it took in: `conv 'conv1'`
  std::string after;   ///< `conv 'bn1'`
  std::string rule, place;
};

/// One row for each change, in the order in which they were made.
[[nodiscard]] std::vector<ExplainedRewrite> explained_rewrites(const Analysis& analysis);

/// The rows as text under their canonizers, with a count of nodes a rule below them. Columns share `width`:
/// the last one is wrapped where it does not fit.
[[nodiscard]] std::string explain_table(const Analysis& analysis, std::size_t width = 160);

/// The rewritten graph in the language of Graphviz: forward nodes as boxes, each gradient node as a frame
/// with its rule's name around the expressions that it became.
[[nodiscard]] std::string explain_dot(const Analysis& analysis);

/// The derivation of all gradient nodes of the forward operation of that name: forward expression, gradient
/// node, rule with its bindings, rewritten expression, closed expression, and what the simplifier makes of
/// it, by rules of which set
/// (`rounding`: also those of simplify.rounding). Throws Error(unknown_name) with the nearest names.
[[nodiscard]] std::string explain_node(const Analysis& analysis, std::string_view name, bool rounding = true);

}  // namespace rulegrad
