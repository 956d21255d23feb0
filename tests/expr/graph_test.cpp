#include <doctest/doctest.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

TEST_CASE("equal expressions are one node, and names are notes beside it") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr first = graph.make(op("relu"), {x});
  const Expr second = graph.make(op("relu"), {x});
  CHECK(first == second);
  graph.add_name(first, "relu1");
  graph.add_name(second, "relu2");
  CHECK(graph.names(first) == std::vector<std::string>{"relu1", "relu2"});
  CHECK(graph.find("relu2") == std::vector<Expr>{first});
  CHECK(describe(first) == "relu 'relu1' float32[B, 3]");
}

TEST_CASE("constants are identified by content when small and by buffer when large") {
  Graph graph;
  CHECK(graph.scalar(1.0) == graph.scalar(1.0));
  CHECK(graph.scalar(0.0) != graph.scalar(-0.0));
  const Tensor weights = Tensor::full(DType::float32, {2000}, 1);
  const Tensor copy = Tensor::full(DType::float32, {2000}, 1);
  CHECK(graph.constant(weights) == graph.constant(weights));
  CHECK(graph.constant(weights) != graph.constant(copy));
  CHECK(is_zero(graph.scalar(0)));
}

TEST_CASE("the sample axis passes through operators that never see it") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape({B, 3}, true)});
  const Expr y = graph.input("y", {DType::float32, Shape{B, 3}});
  CHECK(graph.make(op("add"), {x, y}).shape() == Shape({B, 3}, true));
  CHECK(graph.make(op("add"), {y, y}).shape() == Shape{B, 3});
}

TEST_CASE("wrong operands are named with both sides") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr y = graph.input("y", {DType::float32, Shape{B, 4}});
  const Expr i = graph.input("i", {DType::int64, Shape{B, 3}});
  CHECK_THROWS_WITH_AS(graph.make(op("add"), {x, y}),
                       "[add] shapes [B, 3] and [B, 4] do not broadcast: aligned at the last axis, two "
                       "extents must be equal or one of them 1",
                       Error);
  CHECK_THROWS_WITH_AS(
      graph.make(op("add"), {x, i}),
      "[add] operands must have one dtype but are float32[B, 3] and int64[B, 3]; cast one of them", Error);
  CHECK_THROWS_WITH_AS(graph.make(op("relu"), {x, y}), "[relu] takes relu(x) but 2 operands were given",
                       Error);
  CHECK_THROWS_WITH_AS((void)op("rleu"), "unknown operator 'rleu'; did you mean 'relu'?", Error);
  CHECK_THROWS_AS(graph.input("x", {}), Error);
}

TEST_CASE("order and text depend on the structure only, not on what else was built") {
  Graph plain, busy;
  const auto build = [](Graph& graph, bool noise) {
    const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
    const Expr r = graph.make(op("relu"), {x});
    if (noise) graph.make(op("add"), {r, r});
    return graph.make(op("add"), {r, x});
  };
  const Expr a = build(plain, false), b = build(busy, true);
  CHECK(print(std::vector{a}) == print(std::vector{b}));
  CHECK(print(std::vector{a}) ==
        "%0 = input() {name = \"x\", shape = shape[B, 3]} : float32[B, 3]\n"
        "%1 = relu(%0) : float32[B, 3]\n"
        "%2 = add(%1, %0) : float32[B, 3]\n"
        "return %2\n");
}
