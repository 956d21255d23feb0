// Derivatives where differences cannot tell: at kinks, ties, zeros and bounds, and over the batch.
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/run/program.hpp"

using namespace rulegrad;

namespace {

using Values = std::vector<double>;

Tensor tensor(Dims dims, const Values& values) {
  return Tensor(std::move(dims), std::span<const double>(values));
}

/// The gradients of the sum of op(operands) weighted by 1, 2, 3, ... for each operand, as flat values.
std::vector<Values> gradients(const std::string& name, const std::vector<Tensor>& operands,
                              const Attributes& attributes = {}, bool batched = false) {
  Graph graph(DType::float64);
  std::vector<Expr> inputs;
  Inputs values;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    std::vector<Dim> dims(operands[i].dims().begin(), operands[i].dims().end());
    if (batched) dims[0] = B;
    const std::string input = "x" + std::to_string(i);
    inputs.push_back(graph.input(input, {DType::float64, Shape(std::move(dims))}));
    values[input] = operands[i];
  }
  const Expr y = graph.make(op(name), inputs, attributes);
  const Dims dims = y.shape().at({operands[0].dims().empty() ? 1 : operands[0].dims()[0], 1});
  Values weights(static_cast<std::size_t>(element_count(dims)));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i + 1);
  const Expr seed = graph.input("seed", y.type());
  values["seed"] = tensor(dims, weights);

  std::vector<Values> result;
  for (const Expr gradient_of : gradient(y, inputs, seed)) {
    // With y, because the batch may come from x alone.
    const std::vector<Expr> outputs{gradient_of, y};
    Inputs needed;
    for (const Expr leaf : topological_order(outputs))
      for (const auto& [input, value] : values)
        if (graph.find(input).front() == leaf) needed[input] = value;
    const Tensor computed = evaluate(outputs, needed)[0];
    Values flat;
    for (std::int64_t i = 0; i < computed.size(); ++i) flat.push_back(computed.at(i));
    result.push_back(std::move(flat));
  }
  return result;
}

Values gradient_of(const std::string& name, const Tensor& x, const Attributes& attributes = {}) {
  return gradients(name, {x}, attributes)[0];
}

}  // namespace

TEST_CASE("activations have the documented derivative at their kinks") {
  CHECK(gradient_of("relu", tensor({3}, {-1, 0, 1})) == Values{0, 0, 3});
  CHECK(gradient_of("leaky_relu", tensor({3}, {-1, 0, 1}), LeakyReluAttributes{0.5}) == Values{0.5, 1, 3});
  CHECK(gradient_of("abs", tensor({3}, {-1, 0, 1})) == Values{-1, 0, 3});
  CHECK(gradient_of("clip", tensor({5}, {-2, -1, 0, 1, 2}), ClipAttributes{-1, 1}) == Values{0, 0, 3, 0, 0});
  CHECK(gradient_of("hardsigmoid", tensor({3}, {-5, 0, 5}), HardsigmoidAttributes{0.25, 0.5}) ==
        Values{0, 0.5, 0});
  CHECK(gradient_of("hardswish", tensor({3}, {-4, 0, 4})) == Values{0, 1, 3});
  // Far out on the positive side exp(x) is infinite, but not in the arm that is taken.
  CHECK(gradient_of("elu", tensor({2}, {1000, 2}), EluAttributes{}) == Values{1, 2});
}

TEST_CASE("functions that are constant almost everywhere have derivative zero") {
  for (const char* name : {"sign", "floor", "ceil", "round"}) {
    INFO(name);
    CHECK(gradient_of(name, tensor({2}, {0.3, 1.5})) == Values{0, 0});
  }
}

TEST_CASE("at ties max and min send half to each operand") {
  CHECK(gradients("max", {tensor({3}, {1, 2, 3}), tensor({3}, {1, 3, 2})}) ==
        std::vector<Values>{{0.5, 0, 3}, {0.5, 2, 0}});
  CHECK(gradients("min", {tensor({3}, {1, 2, 3}), tensor({3}, {1, 3, 2})}) ==
        std::vector<Values>{{0.5, 2, 0}, {0.5, 0, 3}});
}

TEST_CASE("at ties amax and amin send everything to the first in row-major order, over several axes too") {
  CHECK(gradient_of("amax", tensor({2, 3}, {1, 5, 5, 7, 7, 7}), ReduceAttributes{{1}, false}) ==
        Values{0, 1, 0, 2, 0, 0});
  CHECK(gradient_of("amin", tensor({2, 3}, {1, 1, 5, 7, 2, 2}), ReduceAttributes{{1}, true}) ==
        Values{1, 0, 0, 0, 2, 0});
  // [2, 2, 2] over axes 0 and 2: for each middle index the first of four.
  CHECK(gradient_of("amax", tensor({2, 2, 2}, {0, 9, 3, 3, 9, 9, 3, 1}), ReduceAttributes{{0, 2}, false}) ==
        Values{0, 1, 2, 0, 0, 0, 0, 0});
}

TEST_CASE("a product with zeros has the product of the others as derivative") {
  CHECK(gradient_of("prod", tensor({3}, {2, 3, 4})) == Values{12, 8, 6});
  CHECK(gradient_of("prod", tensor({3}, {2, 0, 4})) == Values{0, 8, 0});
  CHECK(gradient_of("prod", tensor({3}, {0, 0, 4})) == Values{0, 0, 0});
}

TEST_CASE("powers are finite where base or exponent is zero") {
  const auto result = gradients("pow", {tensor({4}, {0, 0, 2, -2}), tensor({4}, {2, 0, 0, 2})});
  CHECK(result[0] == Values{0, 0, 0, -16});
  CHECK(result[1][0] == 0);
  CHECK(result[1][1] == 0);
  CHECK(result[1][2] == doctest::Approx(3 * 0.6931471805599453));
  CHECK(result[1][3] == 0);
}

TEST_CASE("over has no derivative where it divides by zero") {
  CHECK(gradients("over", {tensor({2}, {3, 3}), tensor({2}, {0, 2})}) ==
        std::vector<Values>{{0, 1}, {0, -1.5}});
}

TEST_CASE("stabilize moves zero up, and its derivative by epsilon has that sign") {
  CHECK(gradients("stabilize", {tensor({3}, {-1, 0, 1}), tensor({}, {0.5})}) ==
        std::vector<Values>{{1, 2, 3}, {4}});
}

TEST_CASE("means and sums over the batch share what arrives among its entries") {
  CHECK(gradients("mean", {tensor({2, 2}, {1, 2, 3, 4})}, ReduceAttributes{{0}, false}, true)[0] ==
        Values{0.5, 1, 0.5, 1});
  CHECK(gradients("mean", {tensor({2, 2}, {1, 2, 3, 4})}, ReduceAttributes{{0, 1}, true}, true)[0] ==
        Values{0.25, 0.25, 0.25, 0.25});
  CHECK(gradients("sum", {tensor({2, 2}, {1, 2, 3, 4})}, ReduceAttributes{{0}, true}, true)[0] ==
        Values{1, 2, 1, 2});
  CHECK(gradients("mean", {tensor({2, 2}, {1, 2, 3, 4})}, ReduceAttributes{{1}, false}, true)[0] ==
        Values{0.5, 0.5, 1, 1});
  CHECK(gradients("sum_to", {tensor({2, 2}, {1, 2, 3, 4})}, ShapeAttributes{{2}}, true)[0] ==
        Values{1, 2, 1, 2});
}

TEST_CASE("an operand that stands twice receives both derivatives") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr y = graph.make(op("concat"), {x, graph.make(op("mul"), {x, x}), x}, AxisAttributes{1});
  const Expr seed = graph.constant(tensor({1, 6}, {1, 2, 3, 4, 5, 6}));
  const Expr wide = graph.apply(op("expand"), {seed}, ShapeAttributes{{B, 6}});
  const Tensor g = evaluate(gradient(y, std::vector{x}, wide), {{"x", tensor({1, 2}, {10, 100})}})[0];
  CHECK(g.at(0) == 1 + 3 * 2 * 10 + 5);
  CHECK(g.at(1) == 2 + 4 * 2 * 100 + 6);
}
