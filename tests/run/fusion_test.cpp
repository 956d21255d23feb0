// Which operations run as one call, and what such a call does.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/fuse.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using testing::ThreadTimer;

namespace {

Expr input(Graph& graph, const char* name, std::int64_t width = 6) {
  return graph.input(name, {DType::float64, Shape{B, width}});
}

Expr matrix(Graph& graph, std::int64_t rows, std::int64_t columns) {
  Tensor values(DType::float64, {rows, columns});
  double next = 0.25;
  for (double& value : values.mutable_values<double>()) value = (next = next > 1 ? next - 1.9 : next + 0.37);
  return graph.constant(values);
}

Tensor ramp(std::int64_t rows, std::int64_t width = 6) {
  Tensor values(DType::float64, {rows, width});
  double next = -1;
  for (double& value : values.mutable_values<double>()) value = (next = next > 1 ? next - 2.03 : next + 0.11);
  return values;
}

/// Kernel calls of a run.
std::size_t calls(const std::vector<Expr>& outputs) {
  return Program::compile(outputs).stats({}).instructions;
}

void check_same(const std::vector<Expr>& outputs, const Inputs& inputs) {
  const auto together = Program::compile(outputs, {.poison = true}).run(inputs);
  const auto apart = Program::compile(outputs, {.fuse = false}).run(inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(identical(together[i], apart[i]));
}

}  // namespace

TEST_CASE("a chain over the same extents is one call, whatever is broadcast into it") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), row = graph.input("row", {DType::float64, Shape{6}}),
             column = graph.input("c", {DType::float64, Shape{B, 1}});
  const Expr y = relu(x * row + column) / 3.0 - exp(x);
  CHECK(calls({y}) == 1);
  CHECK(Program::compile(std::vector{y}).stats({}).fused == 5);
  for (const std::int64_t batch : {1, 5, 341, 342, 3000}) {
    const Inputs inputs{
        {"x", ramp(batch)}, {"row", Tensor({6}, {1.0, -2.0, 0.5, 3.0, 0.0, 1.5})}, {"c", ramp(batch, 1)}};
    check_same({y}, inputs);
    const double want = std::max(inputs.at("x").at(8 % (batch * 6)) * inputs.at("row").at(2) +
                                     inputs.at("c").at(8 % (batch * 6) / 6),
                                 0.0) /
                            3 -
                        std::exp(inputs.at("x").at(8 % (batch * 6)));
    CHECK(Program::compile(std::vector{y}).run(inputs)[0].at(8 % (batch * 6)) == doctest::Approx(want));
  }
}

TEST_CASE("comparisons and selections join the chain; booleans that others read are written") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), g = input(graph, "g");
  const Expr positive = graph.apply(op("greater"), {x, graph.scalar(0)});
  const Expr kept = graph.apply(op("where"), {positive, g * 2.0, graph.scalar(0)});
  CHECK(calls({kept}) == 1);
  CHECK(calls({kept, positive}) == 1);
  check_same({kept, positive, relu(x)}, {{"x", ramp(700)}, {"g", ramp(700)}});
}

TEST_CASE("what a contraction needs does not wait for what comes behind it") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), w = matrix(graph, 6, 6);
  const Expr y = relu(x);
  const Expr z = dense(y, w);
  const Expr back = y * z;  // reads y, but y may not wait for z
  CHECK(calls({back}) == 3);
  check_same({back}, {{"x", ramp(9)}});
  // Two sums that each need the other's product: no order lets them be one.
  const Expr a = x + 1.0, b = dense(a, w) + a, c = dense(b, w) + b;
  CHECK(calls({c}) == 5);
  check_same({c}, {{"x", ramp(9)}});
}

TEST_CASE("other extents are calls of their own, and so is what sees the elements in another shape") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), row = graph.input("row", {DType::float64, Shape{6}});
  CHECK(calls({(row * 2.0 + 1.0) * x + x}) == 2);
  const Expr turned = reshape(x * 2.0, Shape{B, 2, 3}) + 1.0;
  CHECK(calls({turned}) == 2);
  check_same({turned}, {{"x", ramp(9)}, {"row", ramp(1).reshaped({6})}});
}

TEST_CASE("operations beside each other read their operand once") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), w = matrix(graph, 6, 6);
  const std::vector<Expr> outputs{max(x, 0.0), min(x, 0.0)};
  CHECK(calls(outputs) == 1);
  // Behind a contraction the second would lie in memory for longer than it has to.
  const std::vector<Expr> products{dense(outputs[0], w), dense(outputs[1], w)};
  CHECK(calls(products) == 4);
  check_same(products, {{"x", ramp(50)}});
}

TEST_CASE("a result over an operand that the group reads again is written when all have read") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), w = matrix(graph, 6, 6);
  const Expr z = dense(x, w);  // dies in the group: one of its results takes its memory
  const Expr a = z * 2.0, b = a * z, c = b - z;
  check_same({dense(a, w), dense(b, w), dense(c, w)}, {{"x", ramp(900)}});
}

TEST_CASE("long chains are cut, and stay right") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x");
  Expr y = x;
  for (int i = 0; i < 200; ++i) y = y + x * (0.001 * i);
  CHECK(calls({y}) > 1);
  CHECK(calls({y}) < 40);
  check_same({y}, {{"x", ramp(500)}});
}

TEST_CASE("a contraction whose result its reader looks through is named when it is not finite") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), w = matrix(graph, 6, 6);
  const Expr z = dense(x, w);
  graph.add_name(z, "logits");
  const Expr y = relu(z) * 2.0;
  const Program program = Program::compile(std::vector{y});
  Tensor values = ramp(400);
  CHECK_NOTHROW((void)program.run({{"x", values}}));
  values.mutable_values<double>()[200 * 6] = std::numeric_limits<double>::max();
  for (std::size_t k = 1; k < 6; ++k)
    values.mutable_values<double>()[200 * 6 + k] = std::numeric_limits<double>::max();
  try {
    (void)program.run({{"x", values}});
    FAIL("infinity passed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::non_finite);
    CHECK(std::string(error.what()).find("'logits'") != std::string::npos);
    CHECK(std::string(error.what()).find("at [200, ") != std::string::npos);
  }
  CHECK_NOTHROW((void)Program::compile(std::vector{y}, {.check_finite = false}).run({{"x", values}}));
}

TEST_CASE("what a kernel throws within a group reaches the caller, with the node") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x");
  Kernels kernels = Kernels::portable();
  Kernel angry = *kernels.at("exp");
  angry.run = [](const KernelCall&) { throw Error(ErrorCode::invalid_argument, "[exp] not today"); };
  kernels.set("exp", std::move(angry));
  const Program program = Program::compile(std::vector{exp(x) + 1.0}, {.kernels = &kernels});
  CHECK_THROWS_WITH_AS((void)program.run({{"x", ramp(9000)}}),
                       doctest::Contains("[exp] not today (while computing"), Error);
}

TEST_CASE("a run tells each call and its time") {
  Graph graph(DType::float64);
  const Expr x = input(graph, "x"), w = matrix(graph, 6, 6);
  std::vector<std::string> seen;
  (void)Program::compile(std::vector{relu(dense(x, w)) + 1.0})
      .run({{"x", ramp(3)}}, {.observe = [&](const KernelReport& call) {
             CHECK(call.milliseconds >= 0);
             CHECK(call.contraction == (call.operation == "dense"));
             CHECK(call.bytes == (call.contraction ? 18 + 36 + 1 + 18 : 18 + 1 + 18) * sizeof(double));
             CHECK(call.label.find("float64[B, 6]") != std::string_view::npos);
             seen.emplace_back(call.operation);
           }});
  CHECK(seen == std::vector<std::string>{"dense", "relu+add"});
}

namespace {

/// x [B, 12] as the sum of parts of other values, each 0 but for its own place; the parts from `skipped` on lie one
/// place further.
Expr sum_of_parts(Graph& graph, std::int64_t parts, std::int64_t skipped, std::int64_t width) {
  const Expr x = graph.input("x", {DType::float32, Shape{B, width}});
  std::vector<Expr> terms;
  for (std::int64_t k = parts; k-- > 0;) {
    const std::int64_t at = k < skipped ? k : k + 1;
    const Expr part =
        graph.apply(op("slice"), {graph.apply(op("tanh"), {x * (0.1 * static_cast<double>(k + 1))})},
                    SliceAttributes{{1}, {at}, {at + 1}, {1}});
    terms.push_back(
        graph.apply(op("slice_vjp"), {part}, SliceVjpAttributes{{1}, {at}, {at + 1}, {1}, Shape{B, width}}));
  }
  terms.push_back(graph.apply(op("exp"), {x}));
  return graph.apply(op("accum"), std::move(terms));
}

}  // namespace

TEST_CASE("the parts of a value that are put together from zeros stand side by side, with the same bits") {
  Graph graph;
  const Expr y = sum_of_parts(graph, 10, 6, 12);
  const Simplified simple = simplify(std::span(&y, 1));
  std::size_t placed = 0, joined = 0;
  for (const Expr node : topological_order(simple.outputs)) {
    placed += node.is("slice_vjp") ? 1 : 0;
    joined += node.is("concat") ? 1 : 0;
  }
  CHECK(placed == 0);
  CHECK(joined == 1);
  std::vector<float> values(36);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.3F * static_cast<float>(i % 11) - 1;
  const Inputs inputs{{"x", Tensor({3, 12}, std::span<const float>(values))}};
  CompileOptions plain;
  plain.simplify = false;
  const Tensor expected = Program::compile(std::span(&y, 1), plain).run(inputs)[0];
  const Tensor found = Program::compile(std::span(&y, 1)).run(inputs)[0];
  for (std::int64_t i = 0; i < expected.size(); ++i) CHECK(found.at(i) == expected.at(i));
  // tanh of the part, and what stands beside it, by a plain loop.
  for (std::int64_t row = 0; row < 3; ++row)
    for (std::int64_t at = 0; at < 12; ++at) {
      const double x = inputs.at("x").at(row * 12 + at);
      const double factor = at < 6 ? 0.1 * static_cast<double>(at + 1) : 0.1 * static_cast<double>(at);
      const bool covered = at != 6 && at < 11;
      CHECK(found.at(row * 12 + at) ==
            doctest::Approx(std::exp(x) + (covered ? std::tanh(factor * x) : 0)).epsilon(1e-6));
    }
}

TEST_CASE("parts that overlap, and parts beside more than one value, stay a sum in its order") {
  Graph graph;
  const Expr y = sum_of_parts(graph, 10, 20, 12);
  std::vector<Expr> terms(y.operands().begin(), y.operands().end());
  std::vector<Expr> twice = terms, overlapping = terms;
  twice.push_back(graph.apply(op("sigmoid"), {graph.inputs()[0]}));
  overlapping.push_back(
      graph.apply(op("slice_vjp"), {terms.front().operand(0) * 2.0}, terms.front().attributes()));
  for (const auto& operands : {twice, overlapping}) {
    const Expr sum = graph.apply(op("accum"), operands);
    const Simplified simple = simplify(std::span(&sum, 1));
    CHECK(simple.outputs[0].is("accum"));
    CHECK(simple.outputs[0].operands().size() == operands.size());
  }
}

TEST_CASE("finding what may run together costs what the terms of a sum do") {
  const auto seconds = [](std::int64_t terms) {
    Graph graph;
    const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
    std::vector<Expr> all;
    for (std::int64_t k = 0; k < terms; ++k)
      all.push_back(graph.apply(op("tanh"), {x * (1 + 0.001 * static_cast<double>(k))}));
    const Expr y = graph.apply(op("accum"), std::move(all));
    double best = INFINITY;
    for (int run = 0; run < 3; ++run) {
      Flow flow = flow_of(std::span(&y, 1), CompileOptions());
      const ThreadTimer timer;
      (void)with_fusion(std::move(flow), true);
      best = std::min(best, timer.seconds());
    }
    return best;
  };
  // 4 if it grows with them, 16 with their square.
  CHECK(seconds(16000) < 9 * seconds(4000) + 0.02);
}
