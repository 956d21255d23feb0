#pragma once

#include <optional>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/kernels/kernel.hpp"

#include "expr/node_map.hpp"
#include "passes/intervals.hpp"

namespace rulegrad::io {

/// Which values that are no numbers a value may hold when the inputs are finite.
struct Specials {
  /// What constants bring along, and what an operation may make of finite numbers (a division by 0, a softmax
  /// of nothing but -inf).
  NonFinite stored = 0, made = 0;

  [[nodiscard]] NonFinite all() const { return static_cast<NonFinite>(stored | made); }
  [[nodiscard]] bool may_be_nan() const { return (all() & non_finite::nan) != 0; }
};

/// Follows NaN and infinities from constants to where something absorbs them: -inf in a mask ends in the
/// softmax behind it. Contractions are taken to be finite where no constant makes them otherwise, because
/// programs look through their results.
class SpecialValues {
 public:
  /// `finite_inputs`: runs refuse others, and look through the results of contractions.
  explicit SpecialValues(bool finite_inputs) : finite_inputs_(finite_inputs) {}
  [[nodiscard]] Specials of(Expr expr);
  /// The constant was looked through: it holds numbers only.
  void note_finite(Expr constant) { known_.emplace(constant, Specials{}); }
  /// May all values along `axis` be -inf at once?
  [[nodiscard]] bool may_be_all_low(Expr expr, std::size_t axis, int depth = 0);
  /// Of a constant that reaches the value: the first one in the order in which values are computed.
  [[nodiscard]] std::optional<Expr> source(Expr expr);

 private:
  [[nodiscard]] Specials work_out(Expr expr);
  bool finite_inputs_;
  Intervals intervals_;
  const Kernels& kernels_ = Kernels::best();
  NodeMap<Specials> known_;
};

}  // namespace rulegrad::io
