// Batch norm and ReLU before a convolution become a threshold and an affine layer; the output stays what it
// was.
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

const std::string analyzers =
    "analyzer dense_net { canonize canonical.batch_norm_relu  use lrp.epsilon(1e-9)  use lrp.rest }\n";

/// Layers that read all features before them, as in DenseNet; scales of 0 and below 0 among those of the
/// batch norms.
struct DenseNet {
  Graph graph{DType::float64};
  Draw draw;
  Expr x = graph.input("x", {DType::float64, Shape{B, 3, 7, 6}});
  Expr y;
  int layers = 0;

  explicit DenseNet(std::uint64_t seed) : draw(seed) {
    Expr features =
        conv(x, draw.weight(graph, {4, 3, 3, 3}), draw.weight(graph, {4}), {{}, {1, 1}, {1, 1}, {}, 1});
    for (int layer = 0; layer < 3; ++layer) {
      const std::int64_t channels = features.shape()[1].factor;
      const std::int64_t groups = channels % 2 == 0 && draw.integer(0, 1) == 1 ? 2 : 1, stride = 1;
      const std::int64_t kernel = 1 + 2 * draw.integer(0, 1), pad = kernel / 2;
      const Expr grown = layer_of(features, 2, kernel, stride, pad, groups);
      const Expr parts[] = {features, grown};
      features = concat(parts, 1);
    }
    // A transition with asymmetric padding, a stride and a dilation.
    features = norm_relu(features);
    features = conv(features, draw.weight(graph, {5, features.shape()[1].factor, 3, 2}),
                    draw.weight(graph, {5}), {{2, 1}, {1, 0}, {0, 1}, {1, 2}, 1});
    ++layers;
    y = dense(flatten(features),
              draw.weight(graph, {3, features.shape()[1].factor * features.shape()[2].factor *
                                         features.shape()[3].factor}));
  }

  Expr norm_relu(Expr features) {
    const std::int64_t channels = features.shape()[1].factor;
    Tensor scale = draw.tensor({channels}, -1.5, 1.5);
    scale.mutable_values<double>()[static_cast<std::size_t>(draw.integer(0, channels - 1))] = 0;
    return relu(batch_norm(features, graph.constant(scale), draw.weight(graph, {channels}),
                           draw.weight(graph, {channels}), draw.weight(graph, {channels}, 0.3, 2)));
  }

  Expr layer_of(Expr features, std::int64_t growth, std::int64_t kernel, std::int64_t stride,
                std::int64_t pad, std::int64_t groups) {
    ++layers;
    const Expr h = norm_relu(features);
    return conv(h, draw.weight(graph, {growth, features.shape()[1].factor / groups, kernel, kernel}),
                draw.weight(graph, {growth}), {{stride, stride}, {pad, pad}, {pad, pad}, {}, groups});
  }
};

}  // namespace

TEST_CASE("canonising batch norm, ReLU and convolution leaves the output as it was, to 1e-12") {
  const RuleLibrary library = library_with(analyzers);
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    DenseNet net(seed);
    const Analysis analysis = analyze(library, {"dense_net", {}}, question_about(net.y, {net.x}));
    int thresholds = 0, norms = 0;
    for (const Step& step : analysis.steps) {
      thresholds += step.node.is("threshold") ? 1 : 0;
      norms += step.node.is("batch_norm") || step.node.is("relu") ? 1 : 0;
    }
    CHECK(thresholds == net.layers);
    CHECK(norms == 0);
    const Tensor value = net.draw.tensor({3, 3, 7, 6}, -2, 2);
    const auto outputs = evaluate(std::vector<Expr>{net.y, analysis.output}, {{"x", value}});
    CHECK(distance(outputs[0], outputs[1]) < 1e-12 * std::max(1.0, largest(outputs[0])));
  }
}

TEST_CASE("a threshold is one gradient node, which rules name and its derivative closes") {
  const RuleLibrary library = library_with(
      "rules mine { grad(y: threshold(x), r) => 2 * vjp(y, r) }\n"
      "analyzer plain { canonize canonical.batch_norm_relu  default gradient }\n"
      "analyzer doubled { canonize canonical.batch_norm_relu  use mine  default gradient }\n");
  DenseNet net(3);
  const Question question = question_about(net.y, {net.x});
  const Tensor value = net.draw.tensor({2, 3, 7, 6}, -2, 2);
  const Tensor gradient = maps(library, "gradient", question, {{"x", value}})[0];
  CHECK(largest(gradient) > 1e-3);
  CHECK(distance(maps(library, "plain", question, {{"x", value}})[0], gradient) < 1e-12 * largest(gradient));
  CHECK(distance(maps(library, "doubled", question, {{"x", value}})[0], gradient) > 1e-3 * largest(gradient));
}

TEST_CASE("a ReLU that others read too is left alone") {
  Graph graph(DType::float64);
  Draw draw(9);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2, 4, 4}});
  const Expr normal = relu(batch_norm(x, draw.weight(graph, {2}), draw.weight(graph, {2}),
                                      draw.weight(graph, {2}), draw.weight(graph, {2}, 0.5, 1)));
  const Expr y = flatten(conv(normal, draw.weight(graph, {2, 2, 1, 1})) + normal);
  const RuleLibrary library =
      library_with("analyzer a { canonize canonical.batch_norm_relu  default gradient }\n");
  CHECK(analyze(library, {"a", {}}, question_about(y, {x})).output == y);
}
