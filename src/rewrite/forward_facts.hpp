#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "expr/node_map.hpp"
#include "rewrite/value.hpp"
#include "rulegrad/rule.hpp"

namespace rulegrad {

/// What guards and selectors may ask about a forward graph: who depends on the explained inputs, what stands first
/// or last, who uses whom. All answers depend on the graph below the output alone.
class ForwardFacts {
 public:
  ForwardFacts(std::span<const Expr> outputs, std::span<const Expr> explained);

  /// Operands before users.
  [[nodiscard]] const std::vector<Expr>& order() const { return order_; }
  [[nodiscard]] bool contains(Expr node) const { return facts_.contains(node); }
  /// Position in `order()`.
  [[nodiscard]] std::size_t rank(Expr node) const { return facts_.at(node).rank; }
  /// Does a change of an explained value change this one?
  [[nodiscard]] bool depends(Expr node) const;
  /// How many operands of other nodes, or outputs, this node is.
  [[nodiscard]] std::size_t uses(Expr node) const;
  /// Of that class or operator, dependent, with no such node among its ancestors (first) or descendants (last).
  [[nodiscard]] bool is_first(Expr node, const std::string& op_class) const;
  [[nodiscard]] bool is_last(Expr node, const std::string& op_class) const;

  /// The value of a guard's or selector's fact for `node`; nothing if there is no fact of that name.
  [[nodiscard]] std::optional<Value> answer(const Term& term, std::span<const Value> arguments, Expr node) const;

 private:
  using Set = std::unordered_set<Expr>;
  [[nodiscard]] const Set& extremes(const std::string& op_class, bool first) const;

  std::vector<Expr> order_;
  struct OfNode {
    std::size_t rank = 0, uses = 0;
    bool dependent = false;
  };
  std::vector<Expr> explained_;
  NodeMap<OfNode> facts_;
  mutable std::map<std::pair<std::string, bool>, Set> extremes_;
};

}  // namespace rulegrad
