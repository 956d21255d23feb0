// What programs of one graph share: folded constants, packed weights, the look for NaN.
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "oracle/conv.hpp"
#include "support/oracle_tensor.hpp"

using namespace rulegrad;
using testing::tensor;

namespace {

const oracle::Conv layer{1, 32, 32, 1, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};

Expr conv_of(Expr x, Expr w) {
  return conv(x, w, 0.0, {layer.strides, layer.pads_begin, layer.pads_end, layer.dilations, layer.groups});
}

/// conv(x, max(w, 0)) and conv(x, w).
struct Network {
  Graph graph;
  oracle::Values weights = oracle::normal(layer.w_dims(), 1), input = oracle::normal(layer.x_dims(), 2);
  Expr x = graph.input("x", {DType::float32, Shape::of(Dims(layer.x_dims()))});
  Expr w = graph.constant(tensor(layer.w_dims(), weights));
  Expr positive = conv_of(x, rulegrad::max(w, 0)), plain = conv_of(x, w);

  [[nodiscard]] Inputs inputs() const { return {{"x", tensor(layer.x_dims(), input)}}; }
};

Program compiled(std::initializer_list<Expr> outputs, const CompileOptions& options = {}) {
  return Program::compile(std::span(outputs.begin(), outputs.size()), options);
}

std::size_t weight_bytes() {
  return static_cast<std::size_t>(oracle::count(layer.w_dims())) * sizeof(float);
}

}  // namespace

TEST_CASE("a second program of a graph folds nothing and packs nothing") {
  Network n;
  const Program first = compiled({n.positive});
  const Tensor y = first.run(n.inputs())[0];
  const SharedConstants before = shared_constants(n.graph);
  CHECK(before.folds == 1);
  const Program second = compiled({n.positive});
  CHECK(identical(second.run(n.inputs())[0], y));
  const SharedConstants after = shared_constants(n.graph);
  CHECK(after.folds == before.folds);
  CHECK(after.packs == before.packs);
  CHECK(after.checks == before.checks);
  CHECK(after.bytes == before.bytes);
}

TEST_CASE("programs with different outputs share functions of weights and packed weights") {
  Network n;
  const Program one = compiled({n.positive}), other = compiled({n.plain, n.positive});
  (void)one.run(n.inputs());
  const std::size_t packs = shared_constants(n.graph).packs;
  (void)other.run(n.inputs());
  const SharedConstants use = shared_constants(n.graph);
  CHECK(use.folds == 1);
  CHECK(use.packs <= packs + 1);  // w as it is; max(w, 0) was there
}

TEST_CASE("a folded weight is kept once: as it is, or packed") {
  Network n;
  const Program program = compiled({n.positive});
  const ProgramStats stats = program.stats({});
  CHECK(stats.folded_constants == 1);
  // oneDNN's form, or the portable kernel's row-major one.
  CHECK(stats.folded_bytes + stats.packed_bytes == weight_bytes());
  CHECK(shared_constants(n.graph).bytes == weight_bytes());
}

TEST_CASE("what no program keeps waits for the next one until it is dropped") {
  Network n;
  Tensor y;
  {
    const Program program = compiled({n.positive});
    y = program.run(n.inputs())[0];
    drop_idle_constants(n.graph);
    CHECK(shared_constants(n.graph).bytes == weight_bytes());
    CHECK(shared_constants(n.graph).idle_bytes == 0);
  }
  CHECK(shared_constants(n.graph).idle_bytes == weight_bytes());
  CHECK(identical(compiled({n.positive}).run(n.inputs())[0], y));
  CHECK(shared_constants(n.graph).folds == 1);
  drop_idle_constants(n.graph);
  CHECK(shared_constants(n.graph).bytes == 0);
  CHECK(identical(compiled({n.positive}).run(n.inputs())[0], y));
  CHECK(shared_constants(n.graph).folds == 2);
}

TEST_CASE("a program keeps what it needs when its graph is gone, for extents that it has not seen either") {
  std::optional<Program> program;
  const Dims dims{8, 8};
  const oracle::Values w = oracle::normal(dims, 5);
  {
    Graph graph;
    const Expr x = graph.input("x", {DType::float32, Shape{B, 8}});
    const Expr weight = rulegrad::max(graph.constant(tensor(dims, w)), 0);
    program = compiled({dense(x, weight, 0.0)});
    (void)program->run({{"x", Tensor(DType::float32, {1, 8})}});
  }
  const oracle::Values x = oracle::normal(Dims{40, 8}, 6);
  const Tensor y = program->run({{"x", tensor(Dims{40, 8}, x)}})[0];
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = 0; j < 8; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 8; ++k) sum += x[i * 8 + k] * std::max(w[j * 8 + k], 0.0);
      CHECK(y.values<float>()[i * 8 + j] == doctest::Approx(sum).epsilon(1e-4));
    }
}

TEST_CASE("constants are looked through once, and only those that outputs depend on") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 32}});
  const Expr good = graph.constant(Tensor::full(DType::float32, {32, 32}, 1));
  Tensor broken = Tensor::full(DType::float32, {32, 32}, 1);
  broken.mutable_values<float>()[33] = std::numeric_limits<float>::quiet_NaN();
  const Expr bad = graph.constant(broken);
  const Expr y = dense(x, good, 0.0), z = dense(x, bad, 0.0);
  (void)compiled({y});
  CHECK(shared_constants(graph).checks == 1);
  (void)compiled({y});
  CHECK(shared_constants(graph).checks == 1);
  CHECK_THROWS_WITH_AS((void)compiled({z}), doctest::Contains("nan at [1, 1]"), Error);
  CHECK_THROWS_AS((void)compiled({z}), Error);
  CHECK_NOTHROW((void)compiled({z}, {.check_finite = false}));
}

TEST_CASE("temporary constants do not pile up") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 256}});
  for (int i = 0; i < 40; ++i) {
    const Expr w = graph.constant(Tensor::full(DType::float32, {8192, 256}, i));  // 8 MB each
    (void)compiled({x + sum(w * w, {0})}).run({{"x", Tensor(DType::float32, {1, 256})}});
    (void)compiled({matmul(x, transpose(w * w, {1, 0}))}).run({{"x", Tensor(DType::float32, {1, 256})}});
  }
  CHECK(shared_constants(graph).idle_bytes <= std::size_t{512} << 20);
}

TEST_CASE("threads that run programs of one graph for the first time fold each constant once") {
  Network n;
  std::vector<Program> programs;
  for (int i = 0; i < 4; ++i) programs.push_back(compiled({n.positive, n.plain}));
  const Tensor y = compiled({n.positive}, {.simplify = false}).run(n.inputs())[0];
  std::vector<Tensor> results(programs.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < programs.size(); ++i)
    threads.emplace_back([&, i] { results[i] = programs[i].run(n.inputs())[0]; });
  for (std::thread& thread : threads) thread.join();
  for (const Tensor& result : results) CHECK(identical(result, y));
  CHECK(shared_constants(n.graph).folds == 1);
}
