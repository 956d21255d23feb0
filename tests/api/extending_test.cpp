#include <doctest/doctest.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/api/plugin.hpp"
#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

TEST_CASE("a colour map of one's own colours heat maps") {
  const std::uint32_t green[] = {0xffffff, 0x00ff00}, purple[] = {0xffffff, 0x800080};
  io::HeatmapOptions options;
  options.own_colormap = io::ColorMap::of(green, purple);
  const io::Picture map = io::render(Tensor({1, 2}, {1.0F, -1.0F}), options);
  CHECK(map.at(0, 0, 0) == 0);
  CHECK(map.at(0, 0, 1) == 255);
  CHECK(map.at(1, 0, 0) == 128);
  CHECK(map.at(1, 0, 1) == 0);
  CHECK_FALSE(io::ColorMap::of(green).diverging());
  CHECK_THROWS_WITH_AS((void)io::ColorMap::of(std::span(green).first(1)),
                       doctest::Contains("at least two colours a side"), Error);
}

TEST_CASE("a sampler of one's own drives a loop of a method") {
  Registry registry;
  // The two ends of the path, each with half the weight.
  registry.samplers.add({.name = "ends",
                         .doc = "0 and 1 with weight 1/2",
                         .parameters = {},
                         .variables = {"t", "q"},
                         .count = [](const SamplerCall&) { return std::int64_t{2}; },
                         .values =
                             [](const SamplerCall& call, Expr index) {
                               const Expr t = call.graph.apply(call.operators.at("cast"), {index},
                                                               CastAttributes{call.graph.real()});
                               return std::vector<Expr>{t, t * 0.0 + 0.5};
                             }});
  registry.rules.add_samplers(registry.samplers);
  registry.rules.add_text(
      "rulegrad 1\nanalyzer two_ends {\n  extends gradient\n  for (t, q) in ends()\n"
      "  at input = t * input\n  result (sum over t (q * relevance)) * input\n}\n",
      "ends.rules");
  const Model model = Sequential({B, 1}, DType::float64)
                          .dense(Tensor({1, 1}, {1.0}))
                          .then([](Expr x) { return x * x * x; })
                          .finish();
  const Explanation got = Explainer(model, "two_ends", {.registry = &registry}).run(Tensor({1, 1}, {2.0}));
  CHECK(got.attribution().at(0) == doctest::Approx(2.0 * 0.5 * (0.0 + 3 * 4.0)));
}

TEST_CASE("what is no plugin is refused, and why") {
  Registry registry;
  CHECK_THROWS_WITH_AS(load_plugin(registry, "no/such/plugin.so"),
                       doctest::Contains("[plugin 'no/such/plugin.so']"), Error);
}
