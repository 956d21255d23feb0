#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "rulegrad/rewrite/provenance.hpp"

#include "expr/node_map.hpp"
#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// How forward rules are applied; the defaults are those of canonizers.
struct ForwardRewriting {
  /// Answers what guards ask beside `only_use` and names; nothing: the question is an error.
  std::function<std::optional<Value>(const Term& call, const Meaning& meaning,
                                     std::span<const Value> arguments)>
      fact;
  bool move_names = true;        ///< do the names of a node go on to what replaces it?
  bool move_label_names = true;  ///< and those of the other operations that the pattern labels?
};

/// A forward graph after its canonizers.
struct Canonized {
  std::vector<Expr> outputs;
  NodeMap<Expr> image;  ///< old node -> new node, for every node below the old outputs
  std::vector<ForwardRewrite> rewrites;
};

/// Rewrites the graph below the outputs with forward rules (`rewrite P => E`), operands first, each node
/// until no rule applies; a number stands for that value everywhere. Names follow: a node that replaces
/// others carries the names of all operations that the pattern labelled.
[[nodiscard]] Canonized canonize(Graph& graph, std::span<const Expr> outputs, const RuleList& rules,
                                 const Operators& operators, const Functions& functions,
                                 const ForwardRewriting& how = {});

}  // namespace rulegrad
