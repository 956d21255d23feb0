// Reductions in one call with what stands before and behind them.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "run/random_tensor.hpp"

using namespace rulegrad;

namespace {

/// Operations of the kernel calls of a run, in order.
std::vector<std::string> calls(const std::vector<Expr>& outputs, const Inputs& inputs) {
  std::vector<std::string> seen;
  (void)Program::compile(outputs).run(
      inputs, {.observe = [&](const KernelReport& call) { seen.emplace_back(call.operation); }});
  return seen;
}

void check_same(const std::vector<Expr>& outputs, const Inputs& inputs) {
  const auto apart = Program::compile(outputs, {.fuse = false}).run(inputs);
  for (const int threads : {1, 3}) {
    const auto together = Program::compile(outputs, {.little_on_one_thread = false, .poison = true})
                              .run(inputs, {.threads = threads});
    for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(identical(together[i], apart[i]));
  }
}

Expr normalised(Expr x, const Ints& axes) {
  const Expr d = x - mean(x, axes, true);
  return d / sqrt(mean(d * d, axes, true) + 1e-5);
}

}  // namespace

TEST_CASE("a normalisation that is written out is one call, and what plain loops give") {
  std::mt19937 random(1);
  // One row, rows that end within a tile of 2048, rows as long as tiles and longer.
  for (const std::int64_t width : {1, 7, 64, 2048, 5000})
    for (const std::int64_t batch : {1, 3, 40}) {
      CAPTURE(width);
      CAPTURE(batch);
      Graph graph;
      const Expr x = graph.input("x", {DType::float32, Shape{B, 2, width}}),
                 w = graph.input("w", {DType::float32, Shape{width}});
      const Expr y = normalised(x * 2.0, {2}) * w + relu(x);
      const Inputs inputs{{"x", random_tensor(random, {batch, 2, width})},
                          {"w", random_tensor(random, {width})}};
      CHECK(calls({y}, inputs).size() == 1);
      check_same({y}, inputs);
      const Tensor got = Program::compile(std::vector{y}).run(inputs)[0];
      const auto size = static_cast<std::size_t>(width);
      for (std::size_t row = 0; row < static_cast<std::size_t>(2 * batch); ++row) {
        const auto in = [&](std::size_t k) { return 2.0 * inputs.at("x").values<float>()[row * size + k]; };
        double mu = 0, variance = 0;
        for (std::size_t k = 0; k < size; ++k) mu += in(k) / static_cast<double>(width);
        for (std::size_t k = 0; k < size; ++k)
          variance += (in(k)-mu) * (in(k)-mu) / static_cast<double>(width);
        for (std::size_t k = 0; k < size; k += 1 + size / 3) {
          const double want = (in(k)-mu) / std::sqrt(variance + 1e-5) * inputs.at("w").values<float>()[k] +
                              std::max(in(k) / 2, 0.0);
          CHECK(got.values<float>()[row * size + k] == doctest::Approx(want).epsilon(1e-4).scale(1));
        }
      }
    }
}

TEST_CASE("softmax joins the scores before it and the weights behind it") {
  std::mt19937 random(2);
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 5, 33}}),
             mask = graph.input("mask", {DType::float32, Shape{1, 33}});
  const Expr y = softmax(x * 0.125 + mask, 2) * x;
  const Inputs inputs{{"x", random_tensor(random, {9, 5, 33})}, {"mask", random_tensor(random, {1, 33})}};
  CHECK(calls({y}, inputs) == std::vector<std::string>{"mul+add+softmax+mul"});
  check_same({y}, inputs);
  check_same({log_softmax(x * 2.0, 2), softmax(x + 1.0, 1)}, inputs);
}

TEST_CASE("what is computed for each row stays in the call, and leaves it if others read it") {
  std::mt19937 random(3);
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4, 3}}),
             c = graph.input("c", {DType::float32, Shape{B}});
  const Inputs inputs{{"x", random_tensor(random, {800, 4, 3})}, {"c", random_tensor(random, {800})}};
  const Expr total = sum(x * x, {1, 2}), scaled = sqrt(total + 0.5) * c;
  CHECK(calls({scaled}, inputs).size() == 1);
  CHECK(calls({scaled, total}, inputs).size() == 1);
  check_same({scaled, total, x * x}, inputs);
  // The same value spread over the row, in the place of its axes.
  const Expr largest = amax(x, {1, 2}, true);
  const std::vector<Expr> both{largest + 1.0, x / largest};
  CHECK(calls(both, inputs).size() == 1);
  check_same(both, inputs);
}

TEST_CASE("a value for each row that is read along another axis is a call of its own") {
  std::mt19937 random(4);
  constexpr std::int64_t n = 600;  // many tiles of rows
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{n, n}}),
             v = graph.input("v", {DType::float32, Shape{n}});
  const Inputs inputs{{"x", random_tensor(random, {n, n})}, {"v", random_tensor(random, {n})}};
  // sum(x) [n] lies along the rows, but is multiplied along the columns.
  const Expr rows = sum(x * 2.0, {1}), y = x * rows;
  CHECK(calls({y}, inputs).size() == 2);
  const Tensor got = Program::compile(std::vector{y}, {.poison = true}).run(inputs)[0];
  for (std::size_t j = 0; j < n; j += 7) {
    double total = 0;
    for (std::size_t k = 0; k < n; ++k) total += 2.0 * inputs.at("x").values<float>()[j * n + k];
    for (std::size_t i = 0; i < n; i += 13)
      CHECK(got.values<float>()[i * n + j] ==
            doctest::Approx(inputs.at("x").values<float>()[i * n + j] * total).epsilon(1e-4).scale(1));
  }
  // u is read along the rows by what works for rows and along the columns by what works for elements, and
  // dies there.
  const Expr u = relu(v) + 0.5, t = sum(x * u, {1}) * u;
  const std::vector<Expr> outputs{dense(reshape(t, Shape{1, n}), x)};
  CHECK(calls(outputs, inputs) == std::vector<std::string>{"relu+add", "mul+sum+mul", "dense"});
  check_same(outputs, inputs);
}

TEST_CASE("reductions of outer axes, of the batch and of long rows are calls of their own") {
  std::mt19937 random(5);
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4, 20000}});
  const Inputs inputs{{"x", random_tensor(random, {2, 4, 20000})}};
  for (const Ints& axes : {Ints{0}, Ints{1}, Ints{0, 1, 2}, Ints{2}, Ints{0, 2}}) {
    CHECK(calls({sum(x * 2.0, axes)}, inputs).size() == 2);
    check_same({sum(x * 2.0, axes)}, inputs);
  }
}

TEST_CASE("a contraction whose result a reduction looks through is named when it is not finite") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4}}),
             w = graph.constant(Tensor::full(DType::float32, {4, 4}, 3e38));
  const Expr z = dense(x, w);
  graph.add_name(z, "logits");
  Tensor values(DType::float32, {700, 4});
  const Program program = Program::compile(std::vector{softmax(z, 1)});
  CHECK_NOTHROW((void)program.run({{"x", values}}));
  for (std::size_t k = 0; k < 4; ++k) values.mutable_values<float>()[600 * 4 + k] = 1;
  CHECK_THROWS_WITH_AS((void)program.run({{"x", values}}),
                       doctest::Contains("'logits' float32[B, 4]] gave inf at [600, 0]"), Error);
}

namespace {

/// A DAG over values of many shapes that are broadcast to [B, 3, 4], reduced, and broadcast again.
struct RandomRows {
  Graph graph;
  std::map<std::size_t, std::vector<Expr>> by_rank;
  std::vector<Expr> all, outputs;

  RandomRows(std::mt19937& random, bool sampled, std::size_t size) {
    all = {graph.input("x", {DType::float32, Shape{B, 3, 4}}),
           graph.input("y", {DType::float32, Shape({B, 3, 4}, sampled)}),
           graph.input("row", {DType::float32, Shape{4}}),
           graph.input("column", {DType::float32, Shape({B, 3, 1}, sampled)}),
           graph.input("each", {DType::float32, Shape{B}}),
           graph.scalar(0.75)};
    const Expr square = graph.constant(random_tensor(random, {4, 4}));
    const auto recent = [&] {
      return random() % 3 == 0 ? all[random() % all.size()]
                               : all[all.size() - 1 - random() % std::min<std::size_t>(all.size(), 5)];
    };
    while (all.size() < size) {
      const Expr a = recent();
      const std::size_t rank = a.type().shape.rank();
      switch (random() % 9) {
        case 0:
          all.push_back(relu(a));
          break;
        case 1:
          all.push_back(tanh(a) + 0.5);
          break;
        case 2:
        case 3: {
          const Expr b = recent();
          const auto shape = broadcast(a.type().shape, b.type().shape);
          const auto holds_batch = [&](std::size_t i) { return (*shape)[i].batch; };
          if (shape && (shape->rank() < 2 || !holds_batch(1)) && (shape->rank() < 3 || !holds_batch(2)))
            all.push_back(random() % 2 == 0 ? tanh(a * b) : a - b);
          break;
        }
        case 4:
        case 5: {
          if (rank == 0) break;
          // Innermost axes mostly, others now and then.
          Ints axes;
          if (random() % 6 == 0) {
            axes = {static_cast<std::int64_t>(random() % rank)};
          } else {
            for (auto axis = static_cast<std::int64_t>(1 + random() % rank);
                 axis < static_cast<std::int64_t>(rank); ++axis)
              axes.push_back(axis);
            if (axes.empty()) axes = {static_cast<std::int64_t>(rank) - 1};
          }
          const bool keep = random() % 3 != 0;
          switch (random() % 3) {
            case 0:
              all.push_back(sum(a, axes, keep));
              break;
            case 1:
              all.push_back(mean(a, axes, keep));
              break;
            default:
              all.push_back(amax(a, axes, keep));
          }
          break;
        }
        case 6:
          if (rank > 0 && !a.type().shape[rank - 1].batch)
            all.push_back(softmax(a, static_cast<std::int64_t>(rank) - 1));
          break;
        case 7:
          if (rank == 3 && a.type().shape[2].is(4)) all.push_back(tanh(matmul(a, square)));
          break;
        default:
          if (a.type().shape.with_samples(false) == Shape{B, 3, 4})
            all.push_back(graph.make(op("sum_to"), {a}, ShapeAttributes{Shape{B, 3, 1}}));
      }
    }
    outputs.push_back(all.back());
    for (int i = 0; i < 4; ++i) outputs.push_back(all[6 + random() % (all.size() - 6)]);
  }
};

}  // namespace

TEST_CASE(
    "random programs with reductions have the same bits with and without fusion, reuse of memory, samples "
    "and threads") {
  std::mt19937 random(6);
  std::size_t with_rows = 0, fused = 0;
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const bool sampled = random() % 3 == 0;
    const auto expressions = std::make_unique<RandomRows>(random, sampled, 12 + random() % 40);
    const Program program =
        Program::compile(expressions->outputs, {.check_finite = false, .little_on_one_thread = false});
    for (const std::int64_t batch : {2, 1, 3, round % 10 == 0 ? 3000 : 300}) {
      const auto lead = [&](Dims dims) {
        if (sampled) dims.insert(dims.begin(), 3);
        return dims;
      };
      const Inputs inputs{{"x", random_tensor(random, {batch, 3, 4})},
                          {"y", random_tensor(random, lead({batch, 3, 4}))},
                          {"row", random_tensor(random, {4})},
                          {"column", random_tensor(random, lead({batch, 3, 1}))},
                          {"each", random_tensor(random, {batch})}};
      const auto want = Program::compile(expressions->outputs,
                                         {.check_finite = false, .fuse = false, .reuse_memory = false})
                            .run(inputs);
      const auto check = [&](const std::vector<Tensor>& got) {
        for (std::size_t i = 0; i < want.size(); ++i) REQUIRE(identical(got[i], want[i]));
      };
      check(program.run(inputs, {.threads = 1}));
      check(program.run(inputs,
                        {.threads = 4, .observe = [&](const KernelReport& call) {
                           const std::string name(call.operation);
                           for (const char* reduction : {"+sum", "+mean", "+amax", "+softmax", "+sum_to"})
                             if (name.find(reduction) != std::string::npos) {
                               ++with_rows;
                               break;
                             }
                         }}));
      check(Program::compile(expressions->outputs, {.check_finite = false, .poison = true}).run(inputs));
      fused += program.stats({batch, sampled ? 3 : 1}).fused;
    }
  }
  CHECK(with_rows > 500);
  CHECK(fused > 2000);
}
