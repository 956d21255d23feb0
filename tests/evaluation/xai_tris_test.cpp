// Generated pictures whose truth is known: shapes, signs, the weight of the signal; and networks that learn
// them.
#include "rulegrad/evaluation/xai_tris.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/api/training.hpp"
#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

/// As drawn in the paper's figure 1.
constexpr const char* drawing =
    "........"
    ".T......"
    ".TT....."
    ".T......"
    ".....L.."
    ".....L.."
    ".....LL."
    "........";

bool is(std::int64_t pixel, char shape) {
  return drawing[pixel] == shape;
}

}  // namespace

TEST_CASE("without noise the pictures are the tetrominoes, and the mask holds both") {
  for (const XaiTrisScenario scenario : {XaiTrisScenario::linear, XaiTrisScenario::exclusive_or}) {
    const XaiTrisData data = xai_tris(scenario, {.samples = 8, .alpha = 1});
    REQUIRE(data.samples.dims() == Dims{8, 1, 8, 8});
    int pairs[2][2] = {};
    for (std::int64_t n = 0; n < 8; ++n) {
      const double t = data.samples.at(n * 64 + 9), l = data.samples.at(n * 64 + 37);
      const auto label = static_cast<int>(data.labels.at(n));
      if (scenario == XaiTrisScenario::linear) {
        CHECK(t == (label == 0 ? 1 : 0));
        CHECK(l == (label == 1 ? 1 : 0));
      } else {
        CHECK(std::abs(t) == 1);
        CHECK(t * l == (label == 0 ? 1 : -1));
        ++pairs[t > 0][l > 0];
      }
      for (std::int64_t i = 0; i < 64; ++i)
        CHECK(data.samples.at(n * 64 + i) == (is(i, 'T') ? t : is(i, 'L') ? l : 0));
    }
    if (scenario == XaiTrisScenario::exclusive_or)
      for (const auto& row : pairs)
        for (const int count : row) CHECK(count == 2);
    for (std::int64_t i = 0; i < 64; ++i) CHECK((data.mask.at(i) != 0) == (drawing[i] != '.'));
  }
}

TEST_CASE("signal and noise have the norms that alpha gives them, and the key chooses the noise") {
  const double alpha = 0.3;
  const XaiTrisData data = xai_tris(XaiTrisScenario::linear, {.samples = 4000, .alpha = alpha}),
                    same = xai_tris(XaiTrisScenario::linear, {.samples = 4000, .alpha = alpha}),
                    other = xai_tris(XaiTrisScenario::linear, {.samples = 4000, .alpha = alpha, .key = 1});
  CHECK(identical(data.samples, same.samples));
  CHECK_FALSE(identical(data.samples, other.samples));
  // On average over a class the signal is what is left at its pixels; the noise is what varies.
  double signal = 0, noise = 0, largest = 0;
  for (std::int64_t n = 0; n < 4000; ++n)
    for (std::int64_t i = 0; i < 64; ++i) {
      const double v = data.samples.at(n * 64 + i);
      largest = std::max(largest, std::abs(v));
      if (is(i, data.labels.at(n) == 0 ? 'T' : 'L'))
        signal += v / (4000 * 4);
      else
        noise += v * v / (4000 * 60);
    }
  CHECK(largest == doctest::Approx(1));
  // |signal| = 2 sqrt(N) a pixel, |noise| = 8 sqrt(N) a deviation.
  CHECK(2 * signal / (8 * std::sqrt(noise)) == doctest::Approx(alpha / (1 - alpha)).epsilon(0.02));
}

TEST_CASE(
    "explanations of networks that learned the scenarios find the tetrominoes far more often than random "
    "maps") {
  for (const XaiTrisScenario scenario : {XaiTrisScenario::linear, XaiTrisScenario::exclusive_or}) {
    const XaiTrisData learned = xai_tris(scenario, {.samples = 1000, .key = 1}),
                      asked = xai_tris(scenario, {.samples = 100});
    Trainer trainer(Sequential({B, 1, 8, 8}).flatten().dense(16).relu().dense(2).softmax().finish(),
                    cross_entropy, {DType::int64, {B}});
    for (int step = 0; step < 150; ++step) trainer.step(learned.samples, learned.labels, 1e-2);
    const std::vector<std::int64_t> labels(asked.labels.values<std::int64_t>().begin(),
                                           asked.labels.values<std::int64_t>().end());
    const Explanation found =
        Explainer(trainer.trained(),
                  {"input_times_gradient", "integrated_gradients", "lrp.epsilon", "random"},
                  {.targets = Targets::given})
            .run(asked.samples, {.targets = labels});
    const auto precision = [&](std::size_t method) {
      return mean_of(mask_precision(found.attribution(method), asked.mask));
    };
    CHECK(precision(3) == doctest::Approx(8.0 / 64).epsilon(0.25));
    for (const std::size_t method : {0U, 1U, 2U}) CHECK(precision(method) > 3 * precision(3));
  }
}

TEST_CASE("scenarios that cannot be made are told") {
  CHECK_THROWS_WITH_AS((void)xai_tris_scenario_from_name("linar"), doctest::Contains("did you mean 'linear'"),
                       Error);
  CHECK_THROWS_WITH_AS((void)xai_tris(XaiTrisScenario::linear, {.samples = 3}),
                       doctest::Contains("at least 4"), Error);
  CHECK_THROWS_WITH_AS((void)xai_tris(XaiTrisScenario::linear, {.samples = 8, .alpha = 1.5}),
                       doctest::Contains("[0, 1]"), Error);
}
