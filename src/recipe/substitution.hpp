#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// An expression with some of its nodes replaced: the one primitive behind worlds, augmentations and
/// baselines. What is above a replaced node is built again (and consed with what exists already), under the
/// same names; everything else stays the node it was. What a node is replaced by is not looked into.
class Substitution {
 public:
  void set(Expr node, Expr value) { images_.insert_or_assign(node, value); }
  [[nodiscard]] Expr operator()(Expr expr);

 private:
  std::unordered_map<Expr, Expr> images_;
};

/// A second evaluation of the forward graph: some of its nodes have other values.
class World {
 public:
  /// `value` takes the place of `node`, which is one of the user's own world. Must be said before the first
  /// `image`.
  void place(Expr node, Expr value);
  [[nodiscard]] const std::vector<std::pair<Expr, Expr>>& placements() const { return placements_; }
  /// The value of a node of the user's world here.
  [[nodiscard]] Expr image(Expr node) { return substitution_(node); }

 private:
  std::vector<std::pair<Expr, Expr>> placements_;
  Substitution substitution_;
};

/// Takes what was computed in the world `from` to the world `to`.
[[nodiscard]] Substitution translation(World& from, World& to);

}  // namespace rulegrad
