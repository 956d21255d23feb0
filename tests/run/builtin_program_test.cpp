// What programs do with the operators that ship.
#include <doctest/doctest.h>
#include <memory>
#include <random>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

Expr make(std::string_view name, std::vector<Expr> operands, Attributes attributes = {}) {
  Graph& graph = operands.at(0).graph();
  return graph.make(op(name), std::move(operands), std::move(attributes));
}

Expr fill(Graph& graph, double value, Shape shape) {
  return graph.make(op("fill"), {}, FillAttributes{value, DType::float32, std::move(shape)});
}

Program compiled(const std::vector<Expr>& outputs) {
  return Program::compile(outputs, {.poison = true});
}

std::vector<float> list(const Tensor& tensor) {
  const auto values = tensor.values<float>();
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("fills and expanded values that only feed elementwise kernels take no memory") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr row = graph.input("row", {DType::float32, Shape{3}});
  const Expr wide = make("expand", {row}, ShapeAttributes{Shape{B, 3}});
  const Program program = compiled({make("add", {make("mul", {x, fill(graph, 2, Shape{B, 3})}), wide})});
  CHECK(program.stats({2, 1}).instructions == 1);
  CHECK(program.stats({2, 1}).arena_bytes == 0);
  CHECK(program.print({2, 1}).find("mul+add('x', 2, 'row')") != std::string::npos);
  const Inputs inputs{{"x", Tensor({2, 3}, {1.F, 2.F, 3.F, 4.F, 5.F, 6.F})},
                      {"row", Tensor({3}, {10.F, 20.F, 30.F})}};
  CHECK(list(program.run(inputs).at(0)) == std::vector<float>{12, 24, 36, 18, 30, 42});

  // Two of them alone still give a result of the full shape.
  const Program both = compiled({make("mul", {fill(graph, 3, Shape{B, 3}), wide})});
  CHECK(list(both.run(inputs).at(0)) == std::vector<float>{30, 60, 90, 30, 60, 90});
}

TEST_CASE("fills that are looked at as arrays are arrays") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr ones = fill(graph, 1, Shape{B, 2});
  const auto results =
      compiled({ones, make("relu", {ones}), make("sum", {ones}, ReduceAttributes{{0}, false}),
                make("add", {x, ones}), fill(graph, 7, Shape{3})})
          .run({{"x", Tensor({2, 2}, {1.F, 2.F, 3.F, 4.F})}});
  CHECK(list(results[0]) == std::vector<float>{1, 1, 1, 1});
  CHECK(list(results[1]) == std::vector<float>{1, 1, 1, 1});
  CHECK(list(results[2]) == std::vector<float>{2, 2});
  CHECK(list(results[3]) == std::vector<float>{2, 3, 4, 5});
  CHECK(list(results[4]) == std::vector<float>{7, 7, 7});
}

TEST_CASE("an input that an output does not depend on still says what the batch is") {
  Graph graph;
  (void)graph.input("x", {DType::float32, Shape{B, 2}});
  const Program program = compiled({fill(graph, 0, Shape{B, 2})});
  CHECK(program.run({{"x", Tensor(DType::float32, {5, 2})}}).at(0).dims() == Dims{5, 2});
  CHECK(program.run({}).at(0).dims() == Dims{1, 2});
}

TEST_CASE("operations that leave the elements where they are cost nothing") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2, 1, 3}});
  const Expr y = make("neg", {x});
  const Expr moved = make("transpose", {make("reshape", {y}, ShapeAttributes{Shape{B, 3, 1, 2}})},
                          TransposeAttributes{{0, 2, 1, 3}});
  const Expr same = make("cast", {make("identity", {moved})}, CastAttributes{DType::float32});
  const Program program = compiled({make("abs", {same}), moved});
  CHECK(program.stats({}).instructions == 2);
  const Tensor given({1, 2, 1, 3}, {1.F, -2.F, 3.F, -4.F, 5.F, -6.F});
  const auto results = program.run({{"x", given}});
  CHECK(results[0].dims() == Dims{1, 1, 3, 2});
  CHECK(list(results[0]) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(list(results[1]) == std::vector<float>{-1, 2, -3, 4, -5, 6});
  // What is not in place any more keeps its values: abs did not run over `moved`.
  CHECK(program.stats({}).in_place == 0);
}

TEST_CASE("folding reads through expanded constants without making them") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{4, 3}});
  const Expr row = graph.constant(Tensor({3}, {1.F, 2.F, 3.F}));
  const Expr wide = make("expand", {row}, ShapeAttributes{Shape{4, 3}});
  const Program program = compiled({make("add", {x, wide})});
  CHECK(program.stats({}).folded_constants == 0);
  const Program folded = compiled({make("add", {x, make("mul", {wide, wide})})});
  CHECK(folded.stats({}).folded_constants == 1);
  CHECK(list(folded.run({{"x", Tensor(DType::float32, {4, 3})}}).at(0)) ==
        std::vector<float>{1, 4, 9, 1, 4, 9, 1, 4, 9, 1, 4, 9});
}

TEST_CASE("open gradient nodes are refused with their name") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr open =
      graph.make(op("vjp"), {make("relu", {x}), x}, SlotAttributes{0, DType::float32, Shape{B, 2}});
  graph.add_name(open, "x.gradient");
  CHECK_THROWS_WITH_AS(
      compiled({open}),
      "[program] vjp 'x.gradient' float32[B, 2] is an open gradient node: rewrite it with an analyzer or "
      "the derivatives before it is compiled",
      Error);
}

TEST_CASE("random programs of real operators have the same bits however memory is shared") {
  std::mt19937 random(5);
  std::size_t in_place = 0, fused = 0;
  for (int round = 0; round < 60; ++round) {
    const auto graph = std::make_unique<Graph>();
    const bool sampled = random() % 2 == 0;
    // Values by form: [B, 4, 6], its transpose, and rows [B, 4, 1].
    std::vector<Expr> full{graph->input("x", {DType::float32, Shape({B, 4, 6}, sampled)}),
                           graph->input("y", {DType::float32, Shape{B, 4, 6}})};
    std::vector<Expr> turned, narrow{graph->scalar(0.5)};
    const auto pick = [&](const std::vector<Expr>& from) {
      return from[from.size() - 1 - random() % std::min<std::size_t>(from.size(), 5)];
    };
    const char* unary[] = {"relu", "tanh", "abs", "neg", "sigmoid", "sign", "floor"};
    const char* binary[] = {"add", "sub", "mul", "max", "min", "over", "stabilize"};
    while (full.size() < 30) {
      switch (random() % 11) {
        case 0:
        case 1:
          full.push_back(make(unary[random() % 7], {pick(full)}));
          break;
        case 2:
        case 3:
          full.push_back(make(binary[random() % 7], {pick(full), pick(full)}));
          break;
        case 4:
          full.push_back(make(binary[random() % 7], {pick(full), pick(narrow)}));
          break;
        case 5:
          narrow.push_back(
              make(random() % 2 == 0 ? "mean" : "amax", {pick(full)}, ReduceAttributes{{2}, true}));
          break;
        case 6:
          turned.push_back(make("transpose", {pick(full)}, TransposeAttributes{{0, 2, 1}}));
          break;
        case 7:
          if (!turned.empty())
            full.push_back(make("reshape", {pick(turned)}, ShapeAttributes{Shape{B, 4, 6}}));
          break;
        case 8:
          full.push_back(make("slice", {make("concat", {pick(full), pick(full)}, AxisAttributes{1})},
                              SliceAttributes{{1}, {2}, {6}, {1}}));
          break;
        case 9:
          full.push_back(
              make("where", {make("greater", {pick(full), pick(narrow)}), pick(full), pick(full)}));
          break;
        default: {
          // Operands of accum have one type.
          const Expr a = pick(full);
          full.push_back(make("accum", {a, make("abs", {a}), make("neg", {a}), make("tanh", {a})}));
        }
      }
    }
    const std::vector<Expr> outputs{full.back(), pick(full), pick(narrow),
                                    make("reshape", {pick(full)}, ShapeAttributes{Shape{B, 24}})};
    CompileOptions fresh{
        .check_finite = false, .fuse = false, .little_on_one_thread = false, .reuse_memory = false};
    const Program unfused =
        Program::compile(outputs, {.check_finite = false, .fuse = false, .little_on_one_thread = false});
    const Program planned = Program::compile(outputs, {.check_finite = false, .little_on_one_thread = false});
    const Program poisoned =
        Program::compile(outputs, {.check_finite = false, .little_on_one_thread = false, .poison = true});
    const Program apart = Program::compile(outputs, fresh);
    in_place += unfused.stats({}).in_place;
    fused += planned.stats({}).fused;
    for (const std::int64_t batch : {1, 3, 700}) {
      std::normal_distribution<float> next;
      Tensor x(DType::float32, sampled ? Dims{2, batch, 4, 6} : Dims{batch, 4, 6}),
          y(DType::float32, {batch, 4, 6});
      for (float& value : x.mutable_values<float>()) value = next(random);
      for (float& value : y.mutable_values<float>()) value = next(random);
      const Inputs inputs{{"x", x}, {"y", y}};
      const auto expected = apart.run(inputs);
      for (const Program* program : {&planned, &poisoned, &unfused})
        for (const int threads : {1, 4}) {
          const auto found = program->run(inputs, {.threads = threads});
          for (std::size_t k = 0; k < found.size(); ++k) REQUIRE(identical(found[k], expected[k]));
        }
    }
  }
  CHECK(in_place > 200);
  CHECK(fused > 200);
}
