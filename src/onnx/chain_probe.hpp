#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rewrite/curves.hpp"
#include "rewrite/value_functions.hpp"

namespace rulegrad::io {

/// The functions that parts of a chain compute, at one place: enough to tell what most of them are not, and far less
/// work than to write them out. Each part costs its first step, given the part without it.
class ChainProbe {
 public:
  explicit ChainProbe(const ValueChain& chain);

  /// Begins at the source of the parts that end before step `end`.
  void start(std::size_t end, double place);
  /// What step `step` gives, given that of the steps behind it (`step + 1` to the end, in this order).
  /// False where it takes something beside the value that is not one number, so that it is no function of it.
  bool take(std::size_t step);
  /// What the step that was taken last gives; nothing where only its kernel could say.
  [[nodiscard]] std::optional<double> value() const { return values_[last_]; }
  /// That of a part at a place.
  [[nodiscard]] std::optional<double> value_at(std::size_t begin, std::size_t end, double place);

 private:
  /// What computes a value for numbers.
  enum class How : std::uint8_t { fold, curve, bounds, unknown };
  struct Operand {
    std::size_t place = 0;  ///< among the values; of a number nothing
    double number = 0;
    bool is_number = false;
  };
  struct Node {
    Expr expr;
    How how = How::unknown;
    Curve curve = nullptr;
    std::vector<Operand> operands;
    bool possible = true;
  };
  [[nodiscard]] static How how_of(Expr node);
  [[nodiscard]] static std::optional<double> computed(const Node& node, const std::vector<double>& x);

  std::vector<std::vector<Node>> steps_;  ///< operands before users; of step s the values from first_[s] on
  std::vector<std::size_t> first_;
  std::vector<std::optional<double>> values_;  ///< of all nodes, the chain's source last
  std::size_t last_ = 0;
  std::vector<double> numbers_;
};

}  // namespace rulegrad::io
