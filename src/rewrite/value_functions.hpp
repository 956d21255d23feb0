#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rewrite/canonize.hpp"
#include "rewrite/forward_facts.hpp"

/// Functions of one value: what a network computes element by element from a single value is one activation,
/// however it is written out. `x * sigmoid(x)` and `x / (1 + exp(-x))` are the same function and must be
/// explained as such, so rules never see their parts.
namespace rulegrad {

/// Operations that compute, element by element and with constants alone beside it, `root` from `source`,
/// which has the same shape.
struct ValueFunction {
  Expr root, source;
  std::vector<Expr> inside;  ///< operands before users, `root` last
};

/// What a step does to the value that it starts from: a factor and a summand are one number for all elements,
/// a layer has more of them.
enum class StepKind : std::uint8_t { scale, shift, layer, activation, exponential, nonlinear };

/// Functions one behind the other, each of the value of the next one: steps through whose ends every way from
/// the source leads.
struct ValueChain {
  struct Step {
    std::vector<Expr> nodes;  ///< users before operands, the step's result first
    StepKind kind = StepKind::nonlinear;
  };
  std::vector<Step> steps;  ///< the last one first; none of them is a layer
  Expr source;
  std::size_t own = 0;  ///< so many of them, from the front, belong to no chain that ends further down
  /// The steps from `begin` to before `end` as one function.
  [[nodiscard]] ValueFunction part(std::size_t begin, std::size_t end) const;
};

/// For each node by its rank, the one value that everything inside computes it from; nothing where there are
/// several, or where no operation works element by element. Values in `kept` are never inside.
[[nodiscard]] std::vector<Expr> value_sources(const ForwardFacts& facts, std::span<const Expr> kept = {});

/// No limit to what chains have in common.
inline constexpr std::size_t whole_chains = ~std::size_t{0} / 2;

/// The longest chains below the outputs of the facts. Values in `kept` are never inside. Of what belongs to a chain
/// that ends further down as well, `reach` steps are given at most: a network whose values are all read
/// elsewhere too has as many chains as values, each as long as the network.
[[nodiscard]] std::vector<ValueChain> value_chains(const ForwardFacts& facts, std::span<const Expr> kept = {},
                                                   std::size_t reach = whole_chains);

/// Puts an operator of class `activation`, which is written out when programs are compiled, in the place of
/// each function of one value that operators of that class do not say already; images and outputs of
/// `canonized` follow. Factors around a function stay what they are; shifts and factors that nothing
/// nonlinear stands beside are layers of the network. A bare `exp` stays too: that is what is left of a
/// softmax, which is no function of one value.
void join_value_functions(Graph& graph, Canonized& canonized, std::span<const Expr> explained,
                          std::span<const Expr> kept);

}  // namespace rulegrad
