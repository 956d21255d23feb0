#pragma once

#include <optional>
#include <set>
#include <span>
#include <vector>

#include "expr/node_map.hpp"
#include "rewrite/forward_facts.hpp"

/// Products of several values, taken apart (products.hpp puts them together again).
namespace rulegrad {

/// A value that a product takes, or divides by.
struct ProductFactor {
  Expr value;
  bool divides = false;
  friend bool operator==(const ProductFactor&, const ProductFactor&) = default;
};

/// A constant that stands in the product.
struct ProductConstant {
  Expr value;
  bool divides = false;
  std::size_t factors = 0;  ///< how many factors it is multiplied with where it stands
};

/// What a chain of products is made of.
struct FactoredProduct {
  std::vector<ProductFactor> factors;
  std::vector<ProductConstant> constants;
  /// Which factors, by their numbers, the products within the chain multiply.
  std::set<std::vector<std::size_t>> subsets;
};

/// Finds the chains of products of one forward graph. What one value alone makes is a factor as it is, as are
/// the values in `kept`.
class Factoring {
 public:
  Factoring(Graph& graph, const ForwardFacts& facts, std::span<const Expr> kept);

  /// The product whose last step the node is; nothing where it is none, part of another one, or too long.
  [[nodiscard]] std::optional<FactoredProduct> operator()(Expr root) const;
  /// The value that a factor is a function of, or itself.
  [[nodiscard]] Expr source_of(Expr value) const;

 private:
  [[nodiscard]] bool is_kept(Expr node) const;
  [[nodiscard]] bool is_product(Expr node) const;
  [[nodiscard]] bool is_chain(Expr node) const;
  std::optional<std::set<std::size_t>> flatten(Expr node, bool divides, FactoredProduct& product) const;

  Graph& graph_;
  const ForwardFacts& facts_;
  std::vector<Expr> kept_;
  std::vector<Expr> sources_;   ///< by rank
  std::vector<char> absorbed_;  ///< by rank
};

}  // namespace rulegrad
