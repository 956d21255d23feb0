#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// A gradient node at which two analyzers of one question differ. Empty rules: the other has no such node.
struct Difference {
  std::string node, op, operand;
  std::string rule_a, place_a, rule_b, place_b;
  std::string parameters;  ///< `epsilon: 1e-07 | 0.1` where it is one rule with other parameters
  std::size_t step_a = 0, step_b = 0;
  bool in_a = true, in_b = true;
  /// With values: sum |a - b| / max(sum |a|, sum |b|), and the same with the largest instead of the sum, of
  /// what is sent.
  double relative_l1 = 0, relative_max = 0;
};

/// Two analyses of one question in one graph, compared gradient node by gradient node; nodes that a canonizer
/// of only one of them changed are matched by name.
class Comparison {
 public:
  /// Of one question in one graph; both must live as long as the comparison.
  Comparison(const Analysis& a, const Analysis& b);
  /// The gradient nodes that differ, in the order of the reverse walk.
  [[nodiscard]] const std::vector<Difference>& differences() const { return differences_; }
  /// How many gradient nodes the same rule closes in both.
  [[nodiscard]] std::size_t common() const { return common_; }
  /// Expressions whose values `read` needs; without them the comparison tells rules alone.
  [[nodiscard]] const std::vector<Expr>& expressions() const { return expressions_; }
  /// Takes the values of `expressions`, in their order, and fills the differences of values in.
  void read(std::span<const Tensor> values);
  /// All differences as text, columns within `width` characters.
  [[nodiscard]] std::string table(std::string_view name_a, std::string_view name_b,
                                  std::size_t width = 160) const;

 private:
  const Analysis& a_;
  const Analysis& b_;
  std::vector<Difference> differences_;
  std::vector<std::string> only_a_, only_b_;  ///< rewrites of one's canonizers alone
  std::size_t common_ = 0;
  std::vector<Expr> expressions_;
  bool has_values_ = false;
  double result_l1_ = 0, result_max_ = 0;
};

}  // namespace rulegrad
