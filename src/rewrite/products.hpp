#pragma once

#include <span>

#include "rewrite/canonize.hpp"

/// Products of several values in one form: `g * (sigmoid(g) * u)` and `(g * sigmoid(g)) * u` are the same
/// function and must be explained as such, so rules see the factors put together in one way, however the
/// model associates them.
namespace rulegrad {

/// Operators of three and of four factors, which products of as many values become where rules know them
/// (rules/products.rules); null: they stay products of two.
struct ProductOperators {
  const OpSchema* three = nullptr;
  const OpSchema* four = nullptr;
};

/// Exchanges products whose factors stand in another order than this: what is computed element by element
/// from one value is multiplied first, so that it is one function of it; a statistic (of what it divides, as
/// a standard deviation is) next, with the values that it is made of; and then these units with each other.
/// Constant factors stand behind. A quotient by a function of a value is a product with the function's
/// reciprocal. Products that are in this form already stay as they are. Values in `kept` and explained ones
/// are factors as they are.
[[nodiscard]] Canonized regroup_products(Graph& graph, std::span<const Expr> outputs,
                                         std::span<const Expr> explained, std::span<const Expr> kept,
                                         const ProductOperators& operators = {});

/// What stands for the nodes of the first after both: `second` rewrote what `first` gave.
[[nodiscard]] Canonized one_after_another(const Canonized& first, Canonized second);

}  // namespace rulegrad
