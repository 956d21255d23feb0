// The derivative of every operator, on every example, against central differences in float64.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "support/examples.hpp"

using namespace rulegrad;

namespace {

/// Operators without a derivative by nature: leaves, gradient nodes, and what yields integers or ranks.
const std::set<std::string> without_derivative{"input", "constant", "fill", "grad", "vjp", "quantile",
                                               "const", "sample_index", "batch_index", "reduce_samples",
                                               // Differences are 0, the derivative is meant to be 1.
                                               "round_through",
                                               // Steps: there is none.
                                               "tree_ensemble"};

Inputs inputs_of(const testing::Instance& instance) {
  Inputs inputs;
  for (std::size_t i = 0; i < instance.values.size(); ++i)
    inputs["operand" + std::to_string(i)] = instance.values[i];
  return inputs;
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) sum += a.at(i) * b.at(i);
  return sum;
}

void check_example(const OpSchema& op, const OpExample& example, RandomEngine& random) {
  Graph graph(DType::float64);
  const testing::Instance instance = testing::instantiate(graph, op, example, random);
  if (!is_floating(instance.result.dtype())) return;
  const Dims result_dims = instance.result.shape().at({});
  const Tensor seed = testing::draw({result_dims, -1, 1}, DType::float64, random);
  const Program forward = Program::compile(std::span(&instance.result, 1));

  for (std::size_t i = 0; i < instance.inputs.size(); ++i) {
    const Expr x = instance.inputs[i];
    if (!is_floating(x.dtype())) continue;
    const std::vector<Expr> gradients = gradient(instance.result, std::span(&x, 1), graph.constant(seed));
    REQUIRE(gradients[0].type() == x.type());
    // An input that no derivative needs is not an input of the program.
    Inputs needed;
    for (const Expr leaf : topological_order(gradients))
      for (std::size_t j = 0; j < instance.inputs.size(); ++j)
        if (leaf == instance.inputs[j]) needed["operand" + std::to_string(j)] = instance.values[j];
    const Tensor analytic = evaluate(gradients, needed)[0];

    // Along a few random directions, so that every element takes part at the cost of two evaluations each.
    for (int direction = 0; direction < 3; ++direction) {
      const Tensor along = testing::draw({instance.values[i].dims(), -1, 1}, DType::float64, random);
      const double expected = dot(analytic, along);
      double best = INFINITY;
      for (const double step : {1e-4, 1e-5, 1e-6}) {
        const auto at = [&](double distance) {
          Inputs moved = inputs_of(instance);
          Tensor& value = moved["operand" + std::to_string(i)];
          auto elements = value.mutable_values<double>();
          for (std::size_t k = 0; k < elements.size(); ++k)
            elements[k] += distance * along.at(static_cast<std::int64_t>(k));
          return dot(forward.run(moved)[0], seed);
        };
        const double difference = (at(step) - at(-step)) / (2 * step);
        double scale = std::abs(expected) + std::abs(difference);
        for (std::int64_t k = 0; k < analytic.size(); ++k) scale = std::max(scale, std::abs(analytic.at(k)));
        best = std::min(best, std::abs(difference - expected) / std::max(scale, 1e-3));
      }
      INFO(op.name, " ", to_string(example.attributes), ", operand ", op.operand(i).name, " ",
           to_string(x.type()));
      CHECK(best < 1e-6);
    }
  }
}

}  // namespace

TEST_CASE("the derivative of every operator agrees with finite differences on every example") {
  RandomEngine random(7);
  int operators = 0;
  for (const auto& op : Operators::builtin().all()) {
    if (without_derivative.contains(op->name)) continue;
    ++operators;
    INFO("operator ", op->name);
    REQUIRE(op->examples);
    const std::vector<OpExample> examples = op->examples(random);
    CHECK(!examples.empty());
    for (const OpExample& example : examples) CHECK_NOTHROW(check_example(*op, example, random));
  }
  CHECK(operators > 80);
}

TEST_CASE("operators are closed under their own derivatives") {
  // The derivative of a derivative is built for every operator; that the numbers are right follows from the
  // first test, because the operators that appear are among those it covers.
  RandomEngine random(8);
  for (const auto& op : Operators::builtin().all()) {
    if (without_derivative.contains(op->name)) continue;
    for (const OpExample& example : op->examples(random)) {
      Graph graph(DType::float64);
      const testing::Instance instance = testing::instantiate(graph, *op, example, random);
      if (!is_floating(instance.result.dtype())) continue;
      const Expr seed = graph.input("seed", instance.result.type());
      for (const Expr x : instance.inputs) {
        if (!is_floating(x.dtype())) continue;
        const Expr first = gradient(instance.result, std::span(&x, 1), seed)[0];
        const Expr other = graph.input("second" + std::to_string(graph.size()), first.type());
        std::vector<Expr> xs{seed};
        for (const Expr input : instance.inputs)
          if (is_floating(input.dtype())) xs.push_back(input);
        INFO("operator ", op->name, " ", to_string(example.attributes));
        CHECK_NOTHROW((void)gradient(first, xs, other));
      }
    }
  }
}
