#pragma once

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "rulegrad/compile/compile_options.hpp"
#include "rulegrad/kernels/kernel.hpp"

#include "expr/node_map.hpp"
#include "expr/node_set.hpp"
#include "passes/intervals.hpp"

namespace rulegrad {

/// How contractions are computed; those that it does not hold exactly.
using ContractionPrecisions = NodeMap<Precision>;

/// Which convolutions may be computed with Winograd's transforms, whose errors are those of the largest terms
/// near an element, not of its own: what is exactly 0 otherwise becomes a small number of any sign, and what
/// should be far smaller than its neighbours drowns. All of these must hold:
///
/// - No operation asks whether the result is 0 (OpSchema::decides: comparisons, `sign`, casts to integers,
///   divisors, the choice of a maximum in a backward pass, and what says nothing of itself), unless a bias
///   that is nowhere 0 keeps the result off it (where a rounding may decide, a rounding does decide). A
///   comparison of two values, or of their difference, is asked about equality: no bias helps there.
/// - `stabilize` takes the sign of the result only if it is inferred: the kernel restores that
///   (Preparation::low).
/// - The operand holds no quotient that may be many orders larger in one place than around it. Known to be
///   bounded are those whose numerator has the divisor, or a ReLU's output that is no larger than it, as a
///   factor: relu(z) / z and, for x >= 0, relu(z) / (x w') with w' >= w.
///
/// And which products of matrices may be computed with parts of bfloat16 numbers (kernels/product/split.hpp), whose
/// errors are those of an element's own terms: for these the last does not matter, nor a divisor that is inferred to be
/// positive, nor what is the same, and a sum of terms of one sign keeps it.
class FastContractions {
 public:
  /// For everything below the outputs, which are asked nothing. Biases are folded with these kernels; of the options
  /// count `transforms` and `split_products`.
  FastContractions(std::span<const Expr> outputs, const Kernels& kernels, const CompileOptions& options = {});

  [[nodiscard]] bool allowed(Expr contraction);
  /// It is allowed, and its operands may be bfloat16 numbers: nothing decides by its result or by what follows from it, or divides by that, since
  /// what a mask is taken of would be off by 2^-8 of its terms as well where a layer before it is. Zeros, terms of one sign and
  /// equal sums stay what they are, but sums that cancel are off by 2^-8 of their terms, which decides otherwise.
  [[nodiscard]] bool allowed_in_bfloat16(Expr contraction);
  /// The contractions that need not be exact where parts of the graph are programs of their own. Less is inferred within a part, so that no
  /// sign that transforms lose would be restored there: convolutions whose sign is known stay exact.
  [[nodiscard]] ContractionPrecisions within_parts(Precision wanted);

 private:
  using Asked = std::uint8_t;

  void find_constants(std::span<const Expr> order, const Kernels& kernels);
  void ask(Expr user);
  [[nodiscard]] Asked asked_of(Expr user, std::size_t position);
  [[nodiscard]] bool is_off_zero(Expr expr);
  [[nodiscard]] bool has_sign(Expr expr);
  [[nodiscard]] bool holds_open_quotient(Expr expr);
  [[nodiscard]] bool bounded(Expr quotient);
  [[nodiscard]] bool dominates(Expr divisor, Expr z);
  [[nodiscard]] bool at_least(Expr a, Expr b);

  bool transforms_, split_products_;
  std::vector<Expr> contractions_;
  std::unordered_set<Expr> is_contraction_;
  NodeMap<Asked> asked_;
  NodeSet decides_;  ///< something is asked of it or of what follows from it
  NodeMap<bool> constant_, open_, off_zero_;
  Intervals intervals_;
};

}  // namespace rulegrad
