#pragma once

#include <string>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"

/// What an operator says of itself (OpSchema) is tried on its own examples, in float64, never trusted:
///
///     shapes      inference takes each example, and with the batch in front says the same as with its extent
///     kernel      the result has the inferred type, every element is written and finite; the same bits
///                 folded, on several threads and with a sample axis; float32 agrees with float64 to 2e-5
///     derivative  central differences along random directions, to 1e-6 of the derivative
///     interval    no result lies outside
///     batch       an entry acts on those entries of the result that the operator says, and on no other
///     decisions   where it asks nothing of an operand, a change of 1e-9 of it is a small change of the result
///     fold        numbers in place of operands give what the kernel gives
///     classes     routing moves numbers, linear and affine are linear in the data, elementwise and
///                 activation work element by element
///     finite      numbers of which it says that it makes numbers do so, at the usual poles and ends too
///     passes      of infinities and NaN comes what it says, and nothing else
///     linear_in   2 f(a) - 3 f(b) = f(2 a - 3 b) in the operands that it says
///     couples     an element acts on those along the axes that it says, and on no other
///
/// `try_properties_on` (properties.hpp) tries methods on it.
namespace [[gnu::visibility("default")]] rulegrad {

/// What became of one of these.
struct OperatorTrial {
  std::string what;     ///< `derivative`
  int examples = 0;     ///< on which it was tried; 0: the operator says nothing of the kind
  std::string failure;  ///< on the first example where it does not hold: what was expected and what came out;
                        ///< empty: it holds
  [[nodiscard]] bool holds() const { return failure.empty(); }  ///< did it hold wherever it was tried?
};

/// All of them, in the order above; equal on every machine. `operators` are those that its derivatives may
/// name. Throws Error(invalid_argument) for an operator without examples, on which nothing can be tried.
[[nodiscard]] std::vector<OperatorTrial> try_operator(const OpSchema& op, const Kernels& kernels,
                                                      const Operators& operators = Operators::builtin());

}  // namespace rulegrad
