#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "compile/constants.hpp"

namespace rulegrad {

/// A constant as an elementwise function of one other, as `max(w, 0)` or `w + 0.25 * max(w, 0)`: it need not
/// exist where the function can be applied to pieces of `base`.
class WeightFunction {
 public:
  /// The longest such function that leads to the constant; without steps where it is none.
  explicit WeightFunction(const std::shared_ptr<Constant>& constant);

  [[nodiscard]] const std::shared_ptr<Constant>& base() const { return base_; }
  [[nodiscard]] bool is_identity() const { return steps_.empty(); }
  /// `out` = f(`in`) for `count` contiguous elements; both may be the same. Safe from many threads.
  void apply(std::int64_t count, const std::byte* in, std::byte* out) const;

 private:
  struct Step {
    std::shared_ptr<Constant> constant;  ///< whose derivation it is
    /// By operand: the base (0), the result of a step (its number plus one), or a number.
    struct Operand {
      std::size_t value = 0;
      std::shared_ptr<const Tensor> number{};
    };
    std::vector<Operand> operands;
  };
  /// The position of `constant` among base and steps; nothing if it is no function of the base.
  [[nodiscard]] std::optional<std::size_t> add(const std::shared_ptr<Constant>& constant);

  std::shared_ptr<Constant> base_;
  std::vector<Step> steps_;
};

}  // namespace rulegrad
