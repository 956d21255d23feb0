#include "rewrite/product_factors.hpp"

#include <algorithm>

#include "rewrite/value_functions.hpp"

namespace rulegrad {
namespace {

/// A product of more factors than this, constants among them, is left as it is written.
constexpr std::size_t most_factors = 64;

}  // namespace

Factoring::Factoring(Graph& graph, const ForwardFacts& facts, std::span<const Expr> kept)
    : graph_(graph),
      facts_(facts),
      kept_(kept.begin(), kept.end()),
      sources_(value_sources(facts, kept)),
      absorbed_(facts.order().size(), 0) {
  // A product that only other products use is part of those.
  std::vector<std::size_t> taken(facts.order().size(), 0);
  for (const Expr user : facts.order())
    if (is_chain(user))
      for (const Expr operand : user.operands())
        if (is_chain(operand)) ++taken[facts.rank(operand)];
  for (std::size_t i = 0; i < taken.size(); ++i)
    absorbed_[i] = static_cast<char>(taken[i] > 0 && taken[i] == facts.uses(facts.order()[i]));
}

std::optional<FactoredProduct> Factoring::operator()(Expr root) const {
  if (!is_chain(root) || absorbed_[facts_.rank(root)] != 0) return std::nullopt;
  FactoredProduct product;
  if (!flatten(root, false, product)) return std::nullopt;
  return product;
}

Expr Factoring::source_of(Expr value) const {
  const Expr found = sources_[facts_.rank(value)];
  return found ? found : value;
}

bool Factoring::is_kept(Expr node) const {
  return std::find(kept_.begin(), kept_.end(), node) != kept_.end();
}

bool Factoring::is_product(Expr node) const {
  return (node.is("mul") || node.is("div")) && facts_.depends(node) && !is_kept(node) &&
         is_floating(node.dtype());
}

bool Factoring::is_chain(Expr node) const {
  return is_product(node) || (node.is("neg") && !is_kept(node) && is_product(node.operand(0)));
}

/// The factors below a node by their numbers; nothing where there are too many. Each product's own are
/// remembered.
std::optional<std::set<std::size_t>> Factoring::flatten(Expr node, bool divides,
                                                        FactoredProduct& product) const {
  if (product.factors.size() + product.constants.size() > most_factors) return std::nullopt;
  if (!is_product(node) && is_chain(node)) {
    auto below = flatten(node.operand(0), divides, product);
    if (below) product.constants.push_back({graph_.scalar(-1, node.dtype()), false, below->size()});
    return below;
  }
  std::set<std::size_t> below;
  // What is a function of one value is not taken apart.
  const bool whole = is_product(node) && sources_[facts_.rank(node)] && facts_.changes(node.operand(0)) &&
                     facts_.changes(node.operand(1));
  if (!is_product(node) || whole) {
    product.factors.push_back({node, divides});
    below.insert(product.factors.size() - 1);
    return below;
  }
  std::optional<ProductConstant> constant;
  for (std::size_t i = 0; i < 2; ++i) {
    const Expr operand = node.operand(i);
    const bool inverse = divides != (i == 1 && node.is("div"));
    if (!facts_.changes(operand)) {
      constant = ProductConstant{operand, inverse, 0};
      continue;
    }
    const auto inner = flatten(operand, inverse, product);
    if (!inner) return std::nullopt;
    below.insert(inner->begin(), inner->end());
  }
  if (constant) {
    constant->factors = below.size();
    product.constants.push_back(*constant);
  }
  product.subsets.insert(std::vector<std::size_t>(below.begin(), below.end()));
  return below;
}

}  // namespace rulegrad
