// DeepLIFT where input and baseline are decided otherwise: mixtures of experts against plain loops, and what is refused.
#include <algorithm>
#include <array>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "places.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::size_t width = 3, experts = 5, taken = 2;
using Row = std::array<double, width>;
using PerExpert = std::array<double, experts>;

struct Mixture {
  std::array<Row, experts> router{}, expert{};
};

Mixture drawn(std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Mixture result;
  for (auto* rows : {&result.router, &result.expert})
    for (Row& row : *rows)
      for (double& value : row) value = normal(random);
  return result;
}

struct Run {
  PerExpert scores{}, values{}, chosen{}, shares{};
  double total = 0;
};

double product(const Row& a, const Row& b) {
  double sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += a[i] * b[i];
  return sum;
}

/// One token: softmax over the best scores times a linear function for each expert.
Run run(const Mixture& net, const Row& x) {
  Run result;
  for (std::size_t e = 0; e < experts; ++e) {
    result.scores[e] = product(net.router[e], x);
    result.values[e] = product(net.expert[e], x);
  }
  double sum = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    std::size_t better = 0;
    for (std::size_t f = 0; f < experts; ++f) better += result.scores[f] > result.scores[e] ? 1 : 0;
    result.chosen[e] = better < taken ? 1 : 0;
    sum += result.chosen[e] * std::exp(result.scores[e]);
  }
  for (std::size_t e = 0; e < experts; ++e) {
    result.shares[e] = result.chosen[e] * std::exp(result.scores[e]) / sum;
    result.total += result.shares[e] * result.values[e];
  }
  return result;
}

/// The contributions of the inputs, each product, secant and step written down by itself.
Row contributions(const Mixture& net, const Row& x, const Row& base) {
  const Run now = run(net, x), then = run(net, base);
  PerExpert to_value{}, to_share{}, to_score{};
  for (std::size_t e = 0; e < experts; ++e) {
    to_value[e] = (now.shares[e] + then.shares[e]) / 2;
    to_share[e] = (now.values[e] + then.values[e]) / 2;
  }
  // share = chosen exp(score) * (1 / sum)
  double sum_now = 0, sum_then = 0, to_inverse = 0;
  PerExpert exp_now{}, exp_then{};
  for (std::size_t e = 0; e < experts; ++e) {
    exp_now[e] = std::exp(now.scores[e]);
    exp_then[e] = std::exp(then.scores[e]);
    sum_now += now.chosen[e] * exp_now[e];
    sum_then += then.chosen[e] * exp_then[e];
    to_inverse += to_share[e] * (now.chosen[e] * exp_now[e] + then.chosen[e] * exp_then[e]) / 2;
  }
  const double to_sum = to_inverse * (1 / sum_now - 1 / sum_then) / (sum_now - sum_then);
  PerExpert to_choice{};
  for (std::size_t e = 0; e < experts; ++e) {
    const double to_part = to_sum + to_share[e] * (1 / sum_now + 1 / sum_then) / 2;
    const double to_exp = to_part * (now.chosen[e] + then.chosen[e]) / 2;
    to_choice[e] = to_part * (exp_now[e] + exp_then[e]) / 2;
    to_score[e] += to_exp * (exp_now[e] - exp_then[e]) / (now.scores[e] - then.scores[e]);
  }
  // Each that comes in takes the place of each that goes out.
  double moved = 0;
  for (std::size_t e = 0; e < experts; ++e) moved += now.chosen[e] > then.chosen[e] ? 1 : 0;
  for (std::size_t in = 0; in < experts; ++in)
    for (std::size_t out = 0; out < experts; ++out) {
      if (!(now.chosen[in] > then.chosen[in]) || !(now.chosen[out] < then.chosen[out])) continue;
      const double step = (now.scores[in] - now.scores[out]) - (then.scores[in] - then.scores[out]);
      const double slope = (to_choice[in] - to_choice[out]) / moved / step;
      to_score[in] += slope;
      to_score[out] -= slope;
    }
  Row result{};
  for (std::size_t i = 0; i < width; ++i)
    for (std::size_t e = 0; e < experts; ++e)
      result[i] += (to_value[e] * net.expert[e][i] + to_score[e] * net.router[e][i]) * (x[i] - base[i]);
  return result;
}

Tensor matrix(const std::array<Row, experts>& rows) {
  Tensor result(DType::float64, {experts, width});
  for (std::size_t e = 0; e < experts; ++e)
    for (std::size_t i = 0; i < width; ++i) result.mutable_values<double>()[e * width + i] = rows[e][i];
  return result;
}

/// The same as a graph, [B, 3] to [B, 1]; `mixed` over the chosen experts, or over all with zeros between.
struct Built {
  Graph graph{DType::float64};
  Expr x, y;
  Built(const Mixture& net, bool gathered) {
    x = graph.input("x", {DType::float64, Shape{B, static_cast<std::int64_t>(width)}});
    const Expr scores = dense(x, graph.constant(matrix(net.router)));
    const Expr values = dense(x, graph.constant(matrix(net.expert)));
    const Expr index =
        graph.apply(op("top_index"), {scores}, TopAttributes{1, static_cast<std::int64_t>(taken), false});
    const auto picked = [&](Expr v) {
      return graph.apply(op("gather_rows"), {v, index}, GatherRowsAttributes{1});
    };
    const Expr shares = softmax(picked(scores), 1);
    if (gathered) {
      const Expr rows = reshape(values, Shape{B, static_cast<std::int64_t>(experts), 1});
      y = sum(reshape(shares, Shape{B, static_cast<std::int64_t>(taken), 1}) * picked(rows), {1});
    } else {
      const Expr weights = graph.apply(op("scatter_rows"), {shares, index},
                                       ScatterRowsAttributes{1, static_cast<std::int64_t>(experts)});
      y = sum(weights * values, {1}, true);
    }
  }
};

std::string refusal(const std::string& method, Expr x, Expr y) {
  try {
    (void)analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                  question_for(y, {x}, fixed_target(y.graph(), 0)));
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unclaimed);
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("DeepLIFT of experts that change is what products, secants and steps give by plain loops") {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  int changed = 0;
  for (int trial = 0; trial < 60; ++trial) {
    const Mixture net = drawn(random);
    Row x{};
    for (double& value : x) value = normal(random);
    Row base{};
    base.fill(0.4);
    const Run now = run(net, x), then = run(net, base);
    changed += now.chosen != then.chosen ? 1 : 0;
    const Row expected = contributions(net, x, base);
    CHECK(expected[0] + expected[1] + expected[2] == doctest::Approx(now.total - then.total).epsilon(1e-9));
    const double largest = std::max({std::abs(expected[0]), std::abs(expected[1]), std::abs(expected[2])});
    for (const char* method : {"deeplift.rescale:baseline=0.4", "deeplift.reveal_cancel:baseline=0.4"})
      for (const bool gathered : {false, true}) {
        const Built built(net, gathered);
        const Tensor map = explain(method, question_for(built.y, {built.x}, fixed_target(built.y.graph(), 0)),
                                   {{"x", Tensor({1, 3}, {x[0], x[1], x[2]})}});
        for (std::size_t i = 0; i < width; ++i)
          CHECK(std::abs(map.at(static_cast<std::int64_t>(i)) - expected[i]) < 1e-11 * largest);
      }
  }
  CHECK(changed > 20);
}

TEST_CASE("a choice between a value and nothing is a ReLU, and gets its secant") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr h = dense(x, graph.constant(Tensor({1, 2}, {1.0, -2.0})));
  const Expr both = concat(std::vector<Expr>{h, h * 0.0}, 1);
  const Expr index = graph.apply(op("top_index"), {both}, TopAttributes{1, 1, false});
  const Expr ones = graph.apply(op("fill"), {}, FillAttributes{1, DType::float64, index.shape()});
  const Expr y =
      sum(graph.apply(op("scatter_rows"), {ones, index}, ScatterRowsAttributes{1, 2}) * both, {1}, true);
  const Tensor value({3, 2}, {2.0, 0.3, -1.0, 0.2, 0.1, -0.4});
  const auto map_of = [&](Expr output) {
    return explain("deeplift.rescale:baseline=-0.5", question_for(output, {x}, fixed_target(graph, 0)),
                   {{"x", value}});
  };
  CHECK(distance(map_of(y), map_of(relu(h))) < 1e-12);
  const Expr negative = h - 1.5;  // below 0 at the baseline
  const Expr shifted = concat(std::vector<Expr>{negative, negative * 0.0}, 1);
  const Expr other = graph.apply(op("top_index"), {shifted}, TopAttributes{1, 1, false});
  const Expr z =
      sum(graph.apply(op("scatter_rows"), {ones, other}, ScatterRowsAttributes{1, 2}) * shifted, {1}, true);
  CHECK(distance(map_of(z), map_of(relu(negative))) < 1e-12);
}

TEST_CASE("a layer whose weights are computed is a product of two values for DeepLIFT") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  NetworkMaker maker(graph, 3, {});
  const Expr w = reshape(mean(dense(x, graph.constant(maker.values({4, 4}))), {0}, true), Shape{1, 4});
  const Expr y = dense(x, w);
  const Tensor value = maker.values({1, 4});
  const Tensor map =
      explain("deeplift.rescale:baseline=0.7", question_for(y, {x}, fixed_target(graph, 0)), {{"x", value}});
  const Program forward = Program::compile(std::span(&y, 1));
  const double difference = forward.run({{"x", value}}).at(0).at(0) -
                            forward.run({{"x", Tensor::full(DType::float64, {1, 4}, 0.7)}}).at(0).at(0);
  CHECK(sum_of(map) == doctest::Approx(difference).epsilon(1e-10));
}

TEST_CASE("what else the input decides by itself is refused by DeepLIFT, and said") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  NetworkMaker maker(graph, 3, {});
  const Expr h = dense(x, graph.constant(maker.values({4, 4}))),
             g = dense(x, graph.constant(maker.values({4, 4})));
  const Expr positive = graph.apply(op("greater"), {g, graph.scalar(0, DType::float64)});
  const Expr counted = graph.apply(op("cast"), {positive}, CastAttributes{DType::float64});
  const Expr best = graph.apply(op("top_index"), {g}, TopAttributes{1, 2, false});
  const Expr looked_up =
      graph.apply(op("gather"), {graph.constant(maker.values({4, 1})), best}, AxisAttributes{0});
  const Expr beside = graph.apply(op("slice"), {h}, SliceAttributes{{1}, {0}, {2}, {1}});
  const auto scored = [&](Expr v) { return sum(v, {1}, true); };
  for (const Expr y : {scored(graph.apply(op("where"), {positive, h, g})),
                       scored(graph.apply(op("gather_rows"), {h, best}, GatherRowsAttributes{1}) * beside),
                       scored(reshape(looked_up, Shape{B, 2}) * beside)})
    for (const std::string method : {"deeplift.rescale", "deeplift.reveal_cancel", "captum.deeplift"}) {
      INFO(describe(y.operand(0)), " by ", method);
      CHECK(refusal(method, x, y).find("is decided by the input") != std::string::npos);
    }
  // A step is a function of one value, and has a secant.
  const Tensor value = maker.values({3, 4});
  for (const Expr y : {scored(h * counted), scored(h + counted)}) {
    const Program forward = Program::compile(std::span(&y, 1));
    const Tensor now = forward.run({{"x", value}}).at(0),
                 then = forward.run({{"x", Tensor::full(DType::float64, {1, 4}, 0.2)}}).at(0);
    for (const std::string method :
         {"deeplift.rescale:baseline=0.2", "deeplift.reveal_cancel:baseline=0.2"}) {
      const Tensor map = explain(method, question_for(y, {x}, fixed_target(graph, 0)), {{"x", value}});
      for (std::int64_t row = 0; row < 3; ++row)
        CHECK(sum_of(row_of(map, row)) == doctest::Approx(now.at(row) - then.at(0)).epsilon(1e-9));
    }
  }
  CHECK(refusal("deeplift.rescale", x, scored(graph.apply(op("where"), {positive, g, g * 0.1}))).empty());
  // What stands fast is no decision of the input.
  const Expr mask = graph.input("mask", {DType::float64, Shape{B, 4}});
  const Expr kept = graph.apply(op("greater"), {mask, graph.scalar(0, DType::float64)});
  CHECK(refusal("deeplift.rescale", x, scored(graph.apply(op("where"), {kept, h, g}))).empty());
}

TEST_CASE(
    "GridSample at places that stand fast is linear for DeepLIFT, at places that are computed refused") {
  OnnxBuilder file(16);
  file.input("x", {-1, 2, 4, 4}).input("grid", {-1, 3, 3, 2}).output("y");
  file.node("Tanh", {"x"}, {"h"});
  file.node("GridSample", {"h", "grid"}, {"s"});
  file.node("Softplus", {"s"}, {"a"});
  file.node("Flatten", {"a"}, {"y"});
  const ScratchFile saved("grid.onnx", file.bytes());
  const Model model = load_onnx(saved.path().string(), {.dtype = DType::float64});
  const Expr x = model.inputs()[0].expr, y = model.outputs()[0].expr;
  NetworkMaker maker(y.graph(), 4, {});
  const Tensor value = maker.values({2, 2, 4, 4}), grid = maker.values({2, 3, 3, 2});
  for (const char* method : {"deeplift.rescale:baseline=0.6", "deeplift.reveal_cancel:baseline=0.6"}) {
    const Tensor map =
        explain(method, question_for(y, {x}, fixed_target(y.graph(), 4)), {{"x", value}, {"grid", grid}});
    const Program forward = Program::compile(std::span(&y, 1));
    const Tensor now = forward.run({{"x", value}, {"grid", grid}}).at(0),
                 then = forward.run({{"x", Tensor::full(DType::float64, value.dims(), 0.6)}, {"grid", grid}})
                            .at(0);
    for (std::int64_t row = 0; row < 2; ++row)
      CHECK(sum_of(row_of(map, row)) ==
            doctest::Approx(now.at(row * 18 + 4) - then.at(row * 18 + 4)).epsilon(1e-9));
  }
  const auto folder = source_root() / "tests" / "zoo";
  for (const char* name :
       {"own_grid_sample_bilinear_zeros_False_dynamo", "own_grid_sample_bicubic_reflection_True_dynamo"}) {
    const Model moving = load_onnx((folder / name / "model.onnx").string(), {.dtype = DType::float64});
    CHECK(refusal("deeplift.rescale", moving.inputs()[0].expr, moving.outputs()[0].expr)
              .find("is decided by the input") != std::string::npos);
  }
}
