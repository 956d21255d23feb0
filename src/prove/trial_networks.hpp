#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/build.hpp"

/// The networks on which what methods declare of themselves is tried.
namespace rulegrad {

/// Draws what a network is made of.
class TrialBuilder {
 public:
  TrialBuilder(Graph& graph, std::uint64_t seed, bool biases)
      : graph_(graph), random_(seed), biases_(biases) {}

  /// Normal.
  Tensor values(const Dims& dims);
  /// From the range of an example.
  Tensor values(const ExampleOperand& operand);
  /// x of the given number of units, by a dense layer.
  Expr to(Expr x, std::int64_t units);
  /// A convolution of odd extents that keeps those of x.
  Expr window(Expr x, std::int64_t channels, std::int64_t k);
  [[nodiscard]] Graph& graph() const { return graph_; }

 private:
  Operand bias(std::int64_t count);

  Graph& graph_;
  RandomEngine random_;
  bool biases_;
};

/// A layer added to a network, and what it is called in messages.
struct TrialLayer {
  std::string text;
  std::function<Expr(TrialBuilder&, Expr)> add;
};

struct TrialNetwork {
  Dims input;
  std::vector<TrialLayer> layers;
  std::optional<ExampleOperand> drawn = {};  ///< where values of the input come from; else they are normal

  /// `x [1, 2] -> dense(2) -> relu, without biases`
  [[nodiscard]] std::string text(bool biases) const;
};

/// From one layer with one unit to networks; the first on which something fails is the smallest.
[[nodiscard]] std::vector<TrialNetwork> trial_networks();
/// The operator alone on each of its examples, the input in the place of each operand of float64 that is data.
[[nodiscard]] std::vector<TrialNetwork> trial_networks_of(const OpSchema& op);

}  // namespace rulegrad
