#include "fuzz/random_graph.hpp"

#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/target.hpp"
#include "fuzz/values.hpp"

namespace rulegrad::fuzz {
namespace {

class Maker {
 public:
  Maker(Graph& graph, RandomEngine& random) : graph_(graph), random_(random) {}

  void add() {
    const OpSchema& op = *Operators::builtin().all()[below(random_, Operators::builtin().all().size())];
    if (!op.examples || op.operands.empty()) return;
    const std::vector<OpExample> examples = op.examples(random_);
    if (examples.empty()) return;
    const OpExample& example = pick(random_, examples);
    try {
      std::vector<Expr> operands;
      for (const ExampleOperand& operand : example.operands) operands.push_back(operand_for(operand));
      const Attributes attributes = &example.attributes.type() == op.attributes
                                        ? example.attributes
                                        : Attributes::make(*op.attributes, {});
      made.push_back(one_in(random_, 2) ? graph_.make(op, std::move(operands), attributes)
                                        : graph_.apply(op, std::move(operands), attributes));
    } catch (const Error&) {
      // What was there does not fit.
    }
  }

  std::vector<Expr> made;

 private:
  Expr operand_for(const ExampleOperand& operand) {
    const Type type{is_floating(operand.dtype) ? graph_.real() : operand.dtype, Shape::of(operand.dims)};
    if (!one_in(random_, 4))
      for (int tries = 0; tries < 20 && !made.empty(); ++tries)
        if (const Expr there = pick(random_, made); there.type() == type && is_floating(type.dtype))
          return there;
    // Integers are indices or flags: only the example knows which of them are right.
    if (one_in(random_, 3) || !is_floating(type.dtype)) {
      const Tensor values = *small_values(type, 1, random_());
      return graph_.constant(is_floating(type.dtype) ? values : clipped(values, operand));
    }
    if (!inputs_.empty() && one_in(random_, 2))
      for (const Expr input : inputs_)
        if (input.type() == type) return input;
    inputs_.push_back(graph_.input(fmt::format("x{}", graph_.inputs().size()), type));
    return inputs_.back();
  }

  static Tensor clipped(const Tensor& values, const ExampleOperand& operand) {
    Tensor wide = values.cast(DType::float64);
    for (double& v : wide.mutable_values<double>()) v = std::min(std::max(v, operand.low), operand.high);
    return wide.cast(values.dtype());
  }

  Graph& graph_;
  RandomEngine& random_;
  std::vector<Expr> inputs_;
};

}  // namespace

std::vector<Expr> random_graph(Graph& graph, RandomEngine& random, std::size_t operations) {
  Maker maker(graph, random);
  for (std::size_t tries = 0; tries < 20 * operations && maker.made.size() < operations; ++tries) maker.add();
  if (maker.made.empty()) maker.made.push_back(graph.input("x", {graph.real(), Shape{B, 3}}));
  return maker.made;
}

}  // namespace rulegrad::fuzz
