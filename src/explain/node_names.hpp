#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

namespace rulegrad {

/// What people call the nodes of an explained forward graph.
class NodeNames {
 public:
  explicit NodeNames(const Analysis& analysis);

  [[nodiscard]] bool contains(Expr node) const { return place_.contains(node); }
  /// Operands before users.
  [[nodiscard]] const std::vector<Expr>& order() const { return order_; }
  /// The node's first name, or `relu(7)` by its place among the forward nodes.
  [[nodiscard]] std::string of(Expr node) const;
  /// The nodes of that name with gradient nodes; throws Error(unknown_name) with the nearest names.
  [[nodiscard]] std::vector<Expr> find(std::string_view name) const;

 private:
  const Analysis& analysis_;
  std::vector<Expr> order_;
  std::unordered_map<Expr, std::size_t> place_;
};

}  // namespace rulegrad
