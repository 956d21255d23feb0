#pragma once

#include <vector>

#include "expr/node_map.hpp"
#include "rewrite/rule_list.hpp"
#include "rulegrad/provenance.hpp"

namespace rulegrad {

/// A forward graph after its canonizers.
struct Canonized {
  std::vector<Expr> outputs;
  NodeMap<Expr> image;  ///< old node -> new node, for every node below the old outputs
  std::vector<ForwardRewrite> rewrites;
};

/// Rewrites the graph below the outputs with forward rules (`rewrite P => E`), operands first, each node until no rule
/// applies. Names follow: a node that replaces others carries the names of all operations that the pattern labelled.
[[nodiscard]] Canonized canonize(Graph& graph, std::span<const Expr> outputs, const RuleList& rules,
                                 const Operators& operators, const Functions& functions);

}  // namespace rulegrad
