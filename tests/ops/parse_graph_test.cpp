// Printed graphs read back as themselves, and texts that do not are refused with a place.
#include "rulegrad/ops/parse_graph.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "support/examples.hpp"

using namespace rulegrad;

namespace {

/// Reads the text into the same graph and into a new one.
void check_round_trip(Graph& graph, const std::vector<Expr>& roots) {
  const PrintedGraph printed = print_with_constants(roots);
  INFO(printed.text);
  std::vector<Expr> again;
  CHECK_NOTHROW(again = parse_graph(graph, printed));
  CHECK(again == roots);

  Graph other(graph.real());
  std::vector<Expr> elsewhere;
  CHECK_NOTHROW(elsewhere = parse_graph(other, printed));
  const PrintedGraph reprinted = print_with_constants(elsewhere);
  CHECK(reprinted.text == printed.text);
  REQUIRE(reprinted.constants.size() == printed.constants.size());
  for (std::size_t i = 0; i < printed.constants.size(); ++i)
    CHECK(identical(reprinted.constants[i], printed.constants[i]));
}

/// A random expression over values [B, n]: arithmetic, constants of all sizes, movement within samples.
struct RandomGraph {
  Graph graph;
  RandomEngine random;
  std::vector<Expr> values;

  RandomGraph(std::uint64_t seed) : random(seed) {
    values.push_back(
        graph.input("x \"quoted\" \\ " + std::to_string(seed), {DType::float32, Shape{B, width(), 6}}));
    values.push_back(graph.input("sampled", {DType::float32, Shape({B, 2, 6}, true)}));
    const int steps = static_cast<int>(pick(1, 25));
    for (int i = 0; i < steps; ++i) values.push_back(step());
  }

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  }
  std::int64_t width() { return pick(1, 5); }
  Expr any() {
    return values[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(values.size()) - 1))];
  }

  Expr constant(Dims dims) {
    std::normal_distribution<double> normal(0, 1e3);
    std::vector<double> data(static_cast<std::size_t>(element_count(dims)));
    for (double& v : data) v = pick(0, 4) == 0 ? 0.1 : normal(random);
    return graph.constant(Tensor(std::move(dims), std::span<const double>(data)).cast(DType::float32));
  }

  Expr step() {
    const Expr x = any();
    const std::int64_t n = x.shape()[1].factor;
    switch (pick(0, 9)) {
      case 0:
        return graph.make(op("relu"), {x});
      case 1:
        return graph.make(op("leaky_relu"), {x},
                          LeakyReluAttributes{std::ldexp(static_cast<double>(pick(1, 99)), -7)});
      case 2:
        return graph.make(op("mul"), {x, constant({n, 6})});
      case 3:
        return graph.make(op("add"), {x, constant({n, 1})});
      case 4:
        return graph.make(op("reshape"), {graph.make(op("transpose"), {x}, TransposeAttributes{{0, 2, 1}})},
                          ShapeAttributes{{B, n, 6}});
      case 5:
        return graph.make(op("slice"), {x}, SliceAttributes{{1}, {n - 1}, {-1}, {-1}});
      case 6:
        return graph.make(op("pad"), {x}, PadAttributes{{0, 1, 0}, {0, pick(0, 2), 0}, PadMode::edge, 0});
      case 7:
        return graph.make(op("concat"), {x, any()}, AxisAttributes{1});
      case 8:
        return graph.make(op("cast"), {graph.make(op("cast"), {x}, CastAttributes{DType::int64})},
                          CastAttributes{DType::float32});
      default:
        return graph.make(op("where"),
                          {graph.make(op("less"), {x, graph.scalar(-0.0)}), x, graph.scalar(1e-30)});
    }
  }
};

std::string refusal(const std::string& text) {
  Graph graph;
  try {
    (void)parse_graph(graph, text, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("random graphs print, parse and print alike, and are the same nodes in their own graph") {
  std::size_t references = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomGraph made(seed);
    std::vector<Expr> roots{made.values.back()};
    if (seed % 3 == 0) roots.push_back(made.any());
    references += print_with_constants(roots).constants.size();
    check_round_trip(made.graph, roots);
  }
  CHECK(references > 20);
}

TEST_CASE("every operator's examples print and parse, with all kinds of attributes") {
  RandomEngine random(5);
  for (const auto& op : Operators::builtin().all()) {
    if (!op->examples) continue;
    for (const OpExample& example : op->examples(random)) {
      Graph graph(DType::float64);
      check_round_trip(graph, {testing::instantiate(graph, *op, example, random).result});
    }
  }
}

TEST_CASE("gradient nodes and constants of every dtype and odd value read back") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr y = graph.make(op("relu"), {x});
  std::vector<Expr> roots{graph.make(op("vjp"), {y, x}, SlotAttributes{0, DType::float32, Shape{B, 3}}),
                          graph.make(op("grad"), {y, y}, SlotAttributes{0, DType::float32, Shape{B, 3}})};
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  roots.push_back(graph.constant(Tensor({5}, {nan, infinity, -infinity, -0.0, 5e-324})));
  roots.push_back(graph.constant(
      Tensor({2}, {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})));
  roots.push_back(graph.constant(Tensor({1, 2}, {true, false})));
  roots.push_back(graph.constant(Tensor({0}, std::initializer_list<float>{})));
  roots.push_back(graph.constant(Tensor::scalar(DType::uint8, 200)));
  roots.push_back(graph.constant(Tensor::full(DType::int32, {17}, -3)));
  check_round_trip(graph, roots);
  CHECK(print_with_constants(roots).constants.size() == 1);
}

TEST_CASE("a large constant is written as a reference") {
  Graph graph;
  const Expr w = graph.constant(Tensor::full(DType::float32, {4, 5}, 0.5));
  const PrintedGraph printed = print_with_constants(std::vector{w});
  CHECK(printed.text == "%0 = constant() {value = @c0} : float32[4, 5]\nreturn %0\n");
  REQUIRE(printed.constants.size() == 1);
  CHECK(printed.constants[0].data() == w.attributes<ConstantAttributes>().value.data());
  CHECK(refusal(printed.text) ==
        "line 1, column 26: @c0 stands for a constant, but none were given with the text");
  Graph other;
  CHECK_THROWS_WITH_AS((void)parse_graph(other, {printed.text, {}}),
                       "line 1, column 26: there is no constant '@c0' among the 0 given", Error);
}

TEST_CASE("errors name line and column") {
  const std::string x = "%0 = input() {name = \"x\", shape = shape[B, 3]} : float32[B, 3]\n";
  CHECK(refusal(x + "return %0\n") == "accepted");
  CHECK(refusal("\n  " + x + "\n\n return %0") == "accepted");
  CHECK(refusal("") ==
        "line 1, column 1: expected a node such as '%0 = ...' or 'return', found the end of the text");
  CHECK(refusal(x) ==
        "line 2, column 1: expected a node such as '%0 = ...' or 'return', found the end of the text");
  CHECK(refusal(x + "%1 = rleu(%0) : float32[B, 3]\nreturn %1\n") ==
        "line 2, column 6: unknown operator 'rleu'; did you mean 'relu'?");
  CHECK(refusal(x + "%1 = relu(%7) : float32[B, 3]\nreturn %1\n") ==
        "line 2, column 11: %7 is not defined above");
  CHECK(refusal(x + "%0 = relu(%0) : float32[B, 3]\n") == "line 2, column 1: %0 is defined above already");
  CHECK(refusal(x + "%1 = relu(%0, %0) : float32[B, 3]\n") ==
        "line 2, column 6: [relu] takes relu(x) but 2 operands were given");
  CHECK(refusal(x + "%1 = relu(%0) : float32[B, 4]\n") ==
        "line 2, column 17: %1 is written as float32[B, 4] but relu gives float32[B, 3]");
  CHECK(refusal(x + "%1 = relu(%0 : float32[B, 3]\n") ==
        "line 2, column 14: expected ')' after the operands, found ':'");
  CHECK(refusal(x + "%1 = relu(%0)\n") ==
        "line 2, column 14: expected ':' before the type of the node, found the end of the line");
  CHECK(refusal(x + "%1 = elu(%0) {alfa = 2.0} : float32[B, 3]\n") ==
        "line 2, column 15: unknown attribute 'alfa'; did you mean 'alpha'?");
  CHECK(refusal(x + "%1 = elu(%0) {alpha = \"much\"} : float32[B, 3]\n") ==
        "line 2, column 15: attribute 'alpha' cannot take the value \"much\"; its default is 1.0");
  CHECK(refusal(x + "%1 = elu(%0) {alpha = -} : float32[B, 3]\n") ==
        "line 2, column 23: expected a value, found '-}'");
  CHECK(refusal("%0 = input() {name = \"x, shape = shape[3]} : float32[3]\n") ==
        "line 1, column 22: the text that begins here has no closing '\"'");
  CHECK(refusal("%0 = constant() {value = float32[2](1.0)} : float32[2]\n") ==
        "line 1, column 34: [2] has 2 elements but 1 are written");
  CHECK(refusal("%0 = constant() {value = int64[1](0.5)} : int64[1]\n") ==
        "line 1, column 35: int64 holds whole numbers only");
  CHECK(refusal("%0 = constant() {value = floot32[1](0.5)} : float32[1]\n") ==
        "line 1, column 26: unknown dtype 'floot32'; did you mean 'float32'?");
  CHECK(refusal(x + "return %0 %0\n") == "line 2, column 11: expected the end of the line, found '%0'");
  CHECK(refusal(x + "return %0\nmore\n") ==
        "line 3, column 1: expected nothing behind the line of 'return', found 'more'");
  CHECK(refusal(x + "%1 = input() {name = \"x\", shape = shape[B, 4]} : float32[B, 4]\nreturn %1\n") ==
        "line 2, column 6: the graph has an input 'x' already");
}
