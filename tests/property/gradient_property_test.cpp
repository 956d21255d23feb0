// Gradients of random networks against central differences in float64.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/run/program.hpp"

#include "property/networks.hpp"

using namespace rulegrad;

TEST_CASE("gradients of random networks agree with finite differences") {
  int checked = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Graph graph(DType::float64);
    testing::NetworkMaker make(graph, seed, {.max_pool = true});
    const testing::Network net = seed % 2 == 0 ? make.mlp() : make.cnn();
    const Expr start = graph.input("seed", net.output.type());
    const std::vector<Expr> outputs{net.output, gradient(net.output, std::span(&net.input, 1), start)[0]};
    const Program program = Program::compile(outputs);
    const Tensor x = make.values(net.input_dims), g = make.values({2, 3}),
                 direction = make.values(net.input_dims);
    const Tensor analytic = program.run({{"x", x}, {"seed", g}})[1];
    double expected = 0, scale = 1e-6;
    for (std::int64_t i = 0; i < analytic.size(); ++i) {
      expected += analytic.at(i) * direction.at(i);
      scale = std::max(scale, std::abs(analytic.at(i)));
    }
    const auto loss = [&](double distance) {
      Tensor moved = x;
      auto values = moved.mutable_values<double>();
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] += distance * direction.at(static_cast<std::int64_t>(i));
      const Tensor y = program.run({{"x", moved}, {"seed", g}})[0];
      double sum = 0;
      for (std::int64_t i = 0; i < y.size(); ++i) sum += y.at(i) * g.at(i);
      return sum;
    };
    // A kink of a ReLU between two evaluations spoils a difference: the best of several steps counts.
    double best = INFINITY;
    for (const double step : {1e-4, 1e-5, 1e-6, 1e-7})
      best = std::min(best, std::abs((loss(step) - loss(-step)) / (2 * step) - expected) /
                                std::max(std::abs(expected), scale));
    INFO("network ", seed);
    CHECK(best < 1e-6);
    ++checked;
  }
  CHECK(checked == 60);
}
