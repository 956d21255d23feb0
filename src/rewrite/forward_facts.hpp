#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

#include "expr/node_map.hpp"
#include "rewrite/node_ranks.hpp"
#include "rewrite/value.hpp"
#include "rewrite/vocabulary.hpp"

namespace rulegrad {

/// What guards and selectors may ask about a forward graph: who depends on the explained inputs, what stands
/// first or last, who uses whom. All answers depend on the graph below the outputs alone, and each kind of
/// answer is worked out for all nodes at once, when it is first asked for: a question costs no walk (but see
/// `is_ancestor`).
class ForwardFacts {
 public:
  ForwardFacts(std::span<const Expr> outputs, std::span<const Expr> explained);
  /// Only the nodes on the way from `from` up to `to`, for derivatives between two expressions of a large
  /// graph.
  [[nodiscard]] static ForwardFacts between(Expr to, Expr from);

  /// Operands before users.
  [[nodiscard]] const std::vector<Expr>& order() const { return order_; }
  [[nodiscard]] bool contains(Expr node) const { return ranks_.find(node) != NodeRanks::none; }
  /// Position in `order()`.
  [[nodiscard]] std::size_t rank(Expr node) const { return ranks_.find(node); }
  /// Does attribution flow from this value to an explained one? `const(e)` ends it, and so does what is no real
  /// number: a comparison, an index.
  [[nodiscard]] bool depends(Expr node) const;
  /// Is this value another one where an explained one is, be it by a decision alone, as a mask is?
  [[nodiscard]] bool changes(Expr node) const;
  /// How many operands of other nodes, or outputs, this node is.
  [[nodiscard]] std::size_t uses(Expr node) const;

  /// Of the class (or one of several: `conv or dense`), dependent, with no such node among its ancestors.
  /// With `through` (another class, or empty), also with nothing but nodes of that class between it and the
  /// explained.
  [[nodiscard]] bool is_first(Expr node, const std::string& op_class, const std::string& through = {}) const;
  /// Of the class, dependent, with no such node among its descendants; `through` narrows as above.
  [[nodiscard]] bool is_last(Expr node, const std::string& op_class, const std::string& through = {}) const;
  /// The position of a dependent node of the class among all of them, in topological order; nothing for
  /// others. An empty class means every operation.
  [[nodiscard]] std::optional<std::size_t> index(Expr node, const std::string& op_class) const;
  [[nodiscard]] std::size_t count(const std::string& op_class) const;
  /// Operations on the longest way from an explained value; 0 for those that depend on none.
  [[nodiscard]] std::size_t depth(Expr node) const;
  /// Is `a` the short branch of a sum of a and b: do fewer affine layers lie between their nearest common
  /// dominator and `a` than between it and `b`? 0 of them for an identity shortcut, one for a projection.
  /// False where the branches have no dominator in common (two inputs).
  [[nodiscard]] bool is_skip(Expr a, Expr b) const;
  /// Is `a` needed to compute `b`? Walks at most what lies between the two in topological order.
  [[nodiscard]] bool is_ancestor(Expr a, Expr b) const;
  /// Is `c` made of `a`, or of what `a` is made of, by elementwise operations, reductions and movements
  /// alone, through a reduction on every way, and is `a` not made of it? So normalisations are told from
  /// gates, which hold layers, and what is divided from what it is divided by.
  [[nodiscard]] bool is_statistic(Expr c, Expr a) const;
  /// The same of several values together, such as the factors of a product.
  [[nodiscard]] bool is_statistic(Expr c, std::span<const Expr> parts) const;
  /// Does `v` lie between 0 and 1, up to a factor, whatever it is made from: is it what a sigmoid, a hard sigmoid or a softmax
  /// gives, a function of one value with such bounds (1 - sigmoid), or a product of gates?
  [[nodiscard]] bool is_gate(Expr v) const { return is_gate(v, 0); }
  /// How many operations of the class lie on the longest way from an explained value to v, v among them.
  [[nodiscard]] std::size_t layers(const std::string& op_class, Expr v) const;
  /// The operation that made v, looking back through what moves numbers or puts them among constants, and
  /// through sums, differences, products and quotients with what does not depend on an explained value.
  [[nodiscard]] Expr producer(Expr v) const;

  /// The value of a guard's or selector's fact for `node`; nothing if there is no fact of that name.
  [[nodiscard]] std::optional<Value> answer(const Term& term, const Meaning& meaning,
                                            std::span<const Value> arguments, Expr node) const;

 private:
  using Flags = std::vector<char>;  ///< by rank
  struct Positions {
    std::vector<std::size_t> of;  ///< by rank; NodeRanks::none for nodes that have none
    std::size_t count = 0;
  };
  struct Dominators;

  struct InOrder {};
  ForwardFacts(InOrder, std::vector<Expr> order, std::span<const Expr> explained);
  [[nodiscard]] bool depends_at(std::size_t rank) const { return dependent_[rank] != 0; }
  [[nodiscard]] bool is_explained(Expr node) const;
  [[nodiscard]] Flags members(const std::string& op_class) const;
  [[nodiscard]] const Flags& extremes(const std::string& op_class, const std::string& through,
                                      bool first) const;
  [[nodiscard]] Flags first_ones(const Flags& members, const Flags* through) const;
  [[nodiscard]] Flags last_ones(const Flags& members, const Flags* through) const;
  [[nodiscard]] const Positions& positions(const std::string& op_class) const;
  [[nodiscard]] std::vector<std::size_t> longest_ways(const Flags& counted) const;
  [[nodiscard]] const Dominators& dominators() const;

  std::vector<Expr> order_;
  NodeRanks ranks_;
  std::vector<Expr> explained_;
  Flags dependent_, changing_;
  std::vector<std::uint32_t> uses_;

  struct Extremes {
    std::string op_class, through;
    bool first;
    Flags flags;
  };
  [[nodiscard]] bool is_gate(Expr v, int depth) const;
  /// One step back from what only moves numbers, or nothing.
  [[nodiscard]] Expr before_movement(Expr v) const;
  [[nodiscard]] Expr before_choice(Expr v) const;
  mutable std::vector<Expr> sources_;      ///< by rank, once a choice has been looked at
  mutable NodeMap<bool> gates_;            ///< products of gates are gates: each is looked at once
  mutable std::deque<Extremes> extremes_;  ///< as many as rules ask for: few
  mutable std::map<std::string, Positions, std::less<>> positions_;
  mutable std::vector<std::size_t> depths_, affine_depths_;
  mutable std::map<std::string, std::vector<std::size_t>, std::less<>> layers_;
  mutable std::shared_ptr<const Dominators> dominators_;
};

/// The value of an expression for a number in the place of one that it is made of, element by element, where
/// its operators say it exactly: those with a `fold` do, and those made of straight lines by their bounds.
[[nodiscard]] std::optional<double> value_for(Expr expression, Expr source, double x);

}  // namespace rulegrad
