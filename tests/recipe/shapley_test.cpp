// Shapley values by random orders: against a walk through each of them, and against all coalitions.
#include <algorithm>
#include <doctest/doctest.h>
#include <numeric>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/random.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

TEST_CASE("Shapley values are the mean over orders of what each element's arrival changes") {
  for (const bool image : {false, true}) {
    CAPTURE(image);
    Graph graph(DType::float64);
    NetworkMaker maker(graph, 31, {});
    const Network net = image ? maker.cnn() : maker.mlp();
    const Tensor x = maker.values(net.input_dims);
    const PlainNetwork plain(net.input, net.output, 1);
    constexpr std::int64_t n = 3;
    constexpr double baseline = 0.25;
    Tensor expected(DType::float64, x.dims());
    const std::int64_t rows = x.dims()[0], each = x.size() / rows;
    for (std::int64_t row = 0; row < rows; ++row) {
      const Tensor one = row_of(x, row);
      for (std::int64_t s = 0; s < n; ++s) {
        std::vector<std::int64_t> order(static_cast<std::size_t>(each));
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
          const auto at = [&](std::int64_t element) {
            return uniform_at({.key = 5, .stream = 0, .sample = s, .row = row, .element = element});
          };
          return at(a) < at(b);
        });
        Tensor mixed = one;
        for (double& value : mixed.mutable_values<double>()) value = baseline;
        double before = plain.score(mixed);
        for (const std::int64_t element : order) {
          mixed.mutable_values<double>()[static_cast<std::size_t>(element)] = one.at(element);
          const double after = plain.score(mixed);
          expected.mutable_values<double>()[static_cast<std::size_t>(row * each + element)] +=
              (after - before) / n;
          before = after;
        }
      }
    }
    const Question question = question_for(net.output, {net.input}, fixed_target(graph, 1));
    CHECK(distance(explain("shapley:n=3,baseline=0.25,key=5", question, {{"x", x}}), expected) < 1e-10);
  }
}

TEST_CASE("with many orders they come to the Shapley values, and they add up to the score however few") {
  // x0 x1 x2 + x3 against 0: the product in three equal parts.
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return graph.apply(op("slice"), {x}, SliceAttributes{{1}, {from}, {to}, {1}});
  };
  const Expr y = part(0, 1) * part(1, 2) * part(2, 3) + part(3, 4);
  const std::vector<double> values{2, -3, 1.5, 4, 1, 1, 1, -1};
  const Tensor at({2, 4}, std::span<const double>(values));
  const Question question = question_for(y, {x}, fixed_target(graph, 0));
  const Tensor map = explain("shapley:n=4000", question, {{"x", at}});
  const double expected[] = {-3, -3, -3, 4, 1.0 / 3, 1.0 / 3, 1.0 / 3, -1};
  // A single order gives one of them all and the others nothing: five times what 4000 orders leave of that spread.
  for (std::int64_t i = 0; i < 8; ++i)
    CHECK(std::abs(map.at(i) - expected[i]) < 5 * 0.48 * (i < 4 ? 9 : 1) / std::sqrt(4000.0));
  const Tensor few = explain("shapley:n=1", question, {{"x", at}});
  for (std::int64_t row = 0; row < 2; ++row) {
    double sum = 0;
    for (std::int64_t i = 0; i < 4; ++i) sum += few.at(4 * row + i);
    CHECK(sum == doctest::Approx(row == 0 ? -5 : 0).epsilon(1e-12));
  }
}
