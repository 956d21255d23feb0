#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

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
  [[nodiscard]] bool contains(Expr node) const { return rank_.contains(node); }
  /// Position in `order()`.
  [[nodiscard]] std::size_t rank(Expr node) const { return rank_.at(node); }
  /// Does a change of an explained value change this one?
  [[nodiscard]] bool depends(Expr node) const { return dependent_.contains(node); }
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
  std::unordered_map<Expr, std::size_t> rank_;
  std::unordered_map<Expr, std::size_t> uses_;
  Set dependent_;
  mutable std::map<std::pair<std::string, bool>, Set> extremes_;
};

}  // namespace rulegrad
