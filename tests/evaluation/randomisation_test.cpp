// Layers that forget: which weights change, which stay, and what that does to attributions.
#include "rulegrad/evaluation/randomisation.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/api/network.hpp"
#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

#include "places.hpp"

using namespace rulegrad;

namespace {

Model small_network() {
  return Sequential({B, 1, 6, 6}, DType::float64)
      .conv(4, {3, 3})
      .relu()
      .flatten()
      .dense(8)
      .relu()
      .dense(3)
      .softmax()
      .finish();
}

Tensor ramp(Dims dims) {
  Tensor t(DType::float64, std::move(dims));
  for (std::size_t i = 0; i < static_cast<std::size_t>(t.size()); ++i)
    t.mutable_values<double>()[i] = std::sin(1.7 * static_cast<double>(i));
  return t;
}

/// The weights of each affine operation, from the input to the output.
std::vector<Tensor> weights_of(const Model& model) {
  std::vector<Tensor> result;
  const Expr output = model.outputs()[0].expr;
  for (const Expr node : topological_order(std::span(&output, 1)))
    if (node.op().is(OpClass::affine))
      result.push_back(node.operand(1).attributes<ConstantAttributes>().value);
  return result;
}

}  // namespace

TEST_CASE("layers are told from the output to the input, and only those that are named forget") {
  const Model model = small_network();
  const std::vector<std::string> layers = learned_layers(model);
  CHECK(layers == std::vector<std::string>{"dense2", "dense1", "conv1"});
  const auto learned = weights_of(model);
  const std::vector<std::string> middle{"dense1"}, two{"dense2", "dense1"};
  const auto one = weights_of(randomised(model, middle)), both = weights_of(randomised(model, two)),
             again = weights_of(randomised(model, middle)), other = weights_of(randomised(model, middle, 1));
  CHECK(identical(one[0], learned[0]));
  CHECK_FALSE(identical(one[1], learned[1]));
  CHECK(identical(one[2], learned[2]));
  CHECK(identical(both[1], one[1]));
  CHECK_FALSE(identical(both[2], learned[2]));
  CHECK(identical(one[1], again[1]));
  CHECK_FALSE(identical(one[1], other[1]));
  // dense1 sees 64 values: a deviation of sqrt(2 / 64).
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < one[1].size(); ++i) {
    sum += one[1].at(i);
    squares += one[1].at(i) * one[1].at(i);
  }
  const auto count = static_cast<double>(one[1].size());
  CHECK(count == 8 * 64);
  CHECK(std::abs(sum / count) < 0.03);
  CHECK(std::sqrt(squares / count) == doctest::Approx(std::sqrt(2.0 / 64)).epsilon(0.1));

  const std::vector<std::string> wrong{"dens1"};
  try {
    (void)randomised(model, wrong);
    FAIL("an unknown layer must be an error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("did you mean 'dense1'") != std::string::npos);
  }
}

TEST_CASE("the check compares the attributions of the learned and of each randomised model") {
  const Model model = small_network();
  const Tensor x = ramp({3, 1, 6, 6});
  const std::vector<std::int64_t> targets{0, 2, 1};
  const std::vector<AnalyzerCall> methods{{"gradient", {}}, {"random", {}}};
  for (const Randomisation kind : {Randomisation::cascading, Randomisation::independent}) {
    std::int64_t told = 0;
    const RandomisationCheck check = randomisation_check(
        model, methods, x, targets, {.kind = kind, .progress = [&](std::int64_t done, std::int64_t all) {
                                       CHECK(all == 3);
                                       told = done;
                                     }});
    CHECK(told == 3);
    REQUIRE(check.layers == learned_layers(model));
    for (std::size_t k = 0; k < 3; ++k) {
      // The same by hand: explain both, correlate each sample, take the mean.
      std::vector<std::string> forgotten;
      for (std::size_t i = kind == Randomisation::cascading ? 0 : k; i <= k; ++i)
        forgotten.push_back(check.layers[i]);
      const auto map = [&](const Model& network) {
        return Explainer(network, "gradient", {.targets = Targets::given})
            .run(x, {.targets = targets})
            .attribution();
      };
      const Tensor learned = map(model), changed = map(randomised(model, forgotten));
      double mean = 0, of_magnitudes = 0;
      for (std::int64_t sample = 0; sample < 3; ++sample) {
        std::vector<double> a, b, c, d;
        for (std::int64_t i = sample * 36; i < (sample + 1) * 36; ++i) {
          a.push_back(learned.at(i));
          b.push_back(changed.at(i));
          c.push_back(std::abs(a.back()));
          d.push_back(std::abs(b.back()));
        }
        mean += rank_correlation(a, b) / 3;
        of_magnitudes += rank_correlation(c, d) / 3;
      }
      CHECK(check.correlation[0][k] == doctest::Approx(mean));
      CHECK(check.of_magnitudes[0][k] == doctest::Approx(of_magnitudes));
      CHECK(std::abs(check.correlation[0][k]) < 0.9);
      CHECK(check.correlation[1][k] == 1);  // a map that does not look at the model
    }
  }
}

TEST_CASE("the demo network forgets from its last layer down, and its explanations with it") {
  if (std::ranges::none_of(
          features(), [](const Feature& feature) { return feature.name == "onnx" && feature.available; }))
    return;
  const Model model = load_onnx(source_root() / "examples/demo/mlp.onnx");
  CHECK(learned_layers(model) == std::vector<std::string>{"dense3", "dense2", "dense1"});
  const std::vector<AnalyzerCall> methods{{"gradient", {}}, {"lrp.epsilon", {}}};
  const Tensor x = ramp({8, 22}).cast(DType::float32);
  const RandomisationCheck check = randomisation_check(model, methods, x, std::vector<std::int64_t>(8, 0));
  for (const auto& method : check.correlation) {
    REQUIRE(method.size() == 3);
    CHECK(std::abs(method.back()) < 0.35);
  }
}

TEST_CASE("a model without weights has nothing to forget") {
  const Model model = Sequential({B, 4}).relu().finish();
  const std::vector<AnalyzerCall> methods{{"gradient", {}}};
  CHECK_THROWS_WITH_AS(
      (void)randomisation_check(model, methods, Tensor(DType::float32, {1, 4}), std::vector<std::int64_t>{0}),
      doctest::Contains("nothing to forget"), Error);
  CHECK_THROWS_WITH_AS((void)randomisation_from_name("cascade"), doctest::Contains("cascading"), Error);
}
