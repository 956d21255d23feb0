// DeepLIFT: completeness, and its identities. Class activation maps against plain loops.
#include <doctest/doctest.h>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// conv - activation - pooling - dense - activation - dense.
struct Chain {
  Graph graph{DType::float64};
  Expr x, last, y;
  Tensor value;
  Chain(const std::string& activation, bool max, std::uint64_t seed) {
    NetworkMaker maker(graph, seed, {});
    const auto weights = [&](Dims dims) { return graph.constant(maker.values(dims)); };
    x = graph.input("x", {DType::float64, Shape{B, 2, 7, 7}});
    Expr h = conv(x, weights({4, 2, 3, 3}), weights({4}));
    graph.add_name(h, "conv1");
    h = graph.apply(op(activation), {h});
    h = max ? max_pool(h, {{2, 2}, {1, 1}, {}, {}, {}, false})
            : avg_pool(h, {{2, 2}, {1, 1}, {}, {}, {}, false, false});
    h = conv(h, weights({3, 4, 2, 2}), weights({3}));
    graph.add_name(h, "conv2");
    last = graph.apply(op(activation), {h});
    graph.add_name(last, "act2");
    h = flatten(last);
    h = graph.apply(op(activation), {dense(h, weights({5, 27}), weights({5}))});
    y = dense(h, weights({3, 5}), weights({3}));
    value = maker.values({2, 2, 7, 7});
  }
};

}  // namespace

TEST_CASE("DeepLIFT's rescale rule is complete to rounding on ReLU, tanh, sigmoid and max-pool networks") {
  for (const std::string activation : {"relu", "tanh", "sigmoid"})
    for (const bool max : {false, true})
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        INFO(activation, max ? " with max pooling, seed " : ", seed ", seed);
        Chain net(activation, max, seed);
        const PlainNetwork plain(net.x, net.y, 1);
        const Tensor map =
            explain("deeplift.rescale:baseline=0.2", question_for(net.y, {net.x}, fixed_target(net.graph, 1)),
                    {{"x", net.value}});
        for (std::int64_t row = 0; row < 2; ++row) {
          const double expected = plain.score(row_of(net.value, row)) -
                                  plain.score(Tensor::full(DType::float64, {1, 2, 7, 7}, 0.2));
          CHECK(std::abs(sum_of(row_of(map, row)) - expected) < 1e-9 * std::max(1.0, std::abs(expected)));
        }
      }
}

TEST_CASE("DeepLIFT is complete on random networks with sums, joins and shared weights") {
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    for (const bool image : {false, true}) {
      INFO("network ", seed);
      Graph graph(DType::float64);
      NetworkMaker maker(graph, seed, {});
      const Network net = image ? maker.cnn() : maker.mlp();
      const Tensor x = maker.values(net.input_dims);
      const PlainNetwork plain(net.input, net.output, 0);
      const Tensor map = explain("deeplift.rescale",
                                 question_for(net.output, {net.input}, fixed_target(graph, 0)), {{"x", x}});
      Dims one = net.input_dims;
      one[0] = 1;
      for (std::int64_t row = 0; row < 2; ++row)
        CHECK(sum_of(row_of(map, row)) ==
              doctest::Approx(plain.score(row_of(x, row)) - plain.score(Tensor(DType::float64, one)))
                  .epsilon(1e-9));
    }
}

TEST_CASE("DeepLIFT SHAP is the mean of DeepLIFT over the baselines") {
  Chain net("relu", true, 7);
  NetworkMaker maker(net.graph, 5, {});
  const Tensor baselines = maker.values({3, 2, 7, 7});
  const auto call = [](const std::string& name, const std::string& parameter, const Tensor& value) {
    return AnalyzerCall{.name = name, .arguments = {{parameter, value}}};
  };
  const Question question = question_for(net.y, {net.x}, fixed_target(net.graph, 2));
  const Tensor map =
      evaluate(analyze(RuleLibrary::builtin(), call("deeplift_shap", "baselines", baselines), question)
                   .attributions,
               {{"x", net.value}})
          .at(0);
  Tensor mean(DType::float64, net.value.dims());
  for (std::int64_t k = 0; k < 3; ++k) {
    const Tensor one = evaluate(analyze(RuleLibrary::builtin(),
                                        call("deeplift.rescale", "baseline", row_of(baselines, k)), question)
                                    .attributions,
                                {{"x", net.value}})
                           .at(0);
    for (std::int64_t i = 0; i < mean.size(); ++i)
      mean.mutable_values<double>()[static_cast<std::size_t>(i)] += one.at(i) / 3;
  }
  CHECK(distance(map, mean) < 1e-12);
}

TEST_CASE(
    "the rules of DeepLIFT are a dozen lines at most, beside those of products, which convolutional networks "
    "do "
    "without") {
  std::size_t lines = 0;
  for (const Rule& rule : RuleLibrary::builtin().rule_set("deeplift.rescale").rules)
    lines += rule.terms.empty() ? 0 : 1;
  lines += RuleLibrary::builtin().rule_set("deeplift.rescale").uses.size();
  CHECK(lines <= 12);
}

TEST_CASE("Grad-CAM, HiResCAM and Layer-CAM are plain loops over places and channels") {
  Chain net("relu", false, 3);
  const Question question = question_for(net.y, {net.x}, fixed_target(net.graph, 1));
  const Expr seed = net.graph.constant(Tensor({2, 3}, {0.0, 1.0, 0.0, 0.0, 1.0, 0.0}));
  Graph& graph = net.graph;
  // A and its gradient, at the activation behind the last convolution: [2, 3, 3, 3]... of 5x5 places.
  const Expr seeded = graph.apply(op("expand"), {graph.constant(Tensor({1, 3}, {0.0, 1.0, 0.0}))},
                                  ShapeAttributes{Shape{B, 3}});
  (void)seed;
  const std::vector<Expr> wanted{net.last, gradient(net.y, std::span(&net.last, 1), seeded).at(0)};
  const std::vector<Tensor> values = evaluate(wanted, {{"x", net.value}});
  const std::int64_t side = values[0].dims()[2], channels = values[0].dims()[1];
  const auto at = [&](const Tensor& t, std::int64_t b, std::int64_t k, std::int64_t p) {
    return t.at((b * channels + k) * side * side + p);
  };

  const auto upsampled = [&](const std::vector<double>& map) {
    const Tensor small({2, 1, side, side}, std::span<const double>(map));
    const Expr resized = graph.apply(op("resize"), {graph.constant(small)},
                                     ResizeAttributes{{7, 7}, {}, ResizeMode::linear, {}, {}});
    return evaluate(std::span(&resized, 1), {}).at(0);
  };
  std::vector<double> grad_cam, hirescam, layer_cam;
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t p = 0; p < side * side; ++p) {
      double cam = 0, elements = 0, positive = 0;
      for (std::int64_t k = 0; k < channels; ++k) {
        double mean = 0;
        for (std::int64_t q = 0; q < side * side; ++q)
          mean += at(values[1], b, k, q) / static_cast<double>(side * side);
        cam += mean * at(values[0], b, k, p);
        elements += at(values[1], b, k, p) * at(values[0], b, k, p);
        positive += std::max(at(values[1], b, k, p), 0.0) * at(values[0], b, k, p);
      }
      grad_cam.push_back(std::max(cam, 0.0));
      hirescam.push_back(elements);
      layer_cam.push_back(std::max(positive, 0.0));
    }
  for (const auto& [method, map] : std::vector<std::pair<std::string, std::vector<double>>>{
           {"grad_cam", grad_cam}, {"hirescam", hirescam}, {"layer_cam", layer_cam}}) {
    INFO(method);
    const Tensor expected = upsampled(map), whole = explain(method, question, {{"x", net.value}});
    CHECK(whole.dims() == net.value.dims());
    double worst = 0;
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t c = 0; c < 2; ++c)
        for (std::int64_t p = 0; p < 49; ++p)
          worst = std::max(worst, std::abs(whole.at((b * 2 + c) * 49 + p) - expected.at(b * 49 + p)));
    CHECK(worst < 1e-12);
    // The same layer by name.
    CHECK(identical(explain(method + ":layer=act2", question, {{"x", net.value}}), whole));
  }
  const Tensor guided = explain("guided_backprop", question, {{"x", net.value}}),
               cam = explain("grad_cam", question, {{"x", net.value}});
  const Tensor both = explain("guided_grad_cam", question, {{"x", net.value}});
  double worst = 0;
  for (std::int64_t i = 0; i < both.size(); ++i)
    worst = std::max(worst, std::abs(both.at(i) - guided.at(i) * cam.at(i)));
  CHECK(worst < 1e-13);
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("grad_cam"), question);
  REQUIRE(analysis.notes.size() == 1);
  CHECK(analysis.notes[0].starts_with("layer = relu 'act2'"));
}
