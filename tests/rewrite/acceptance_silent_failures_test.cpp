// What hook-based tools get wrong without a word: functional operations, shared weights and operations, sums
// in the forward function. Right answers are those of a clone in which nothing is shared and everything is
// spelled out.
#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

const RuleLibrary& library() {
  static const RuleLibrary result = library_with(
      "analyzer eps(e = 0.01) { use lrp.epsilon(e)  use lrp.rest(e) }\n"
      "analyzer gamma_rule { use lrp.gamma(0.25, 0.01)  use lrp.rest(0.01) }\n"
      "analyzer plus { use lrp.z_plus(0.01)  use lrp.rest(0.01) }\n");
  return result;
}

using Vector = std::vector<double>;

Vector times(const Tensor& w, const Vector& v) {
  Vector result(static_cast<std::size_t>(w.dims()[0]), 0);
  for (std::size_t o = 0; o < result.size(); ++o)
    for (std::size_t i = 0; i < v.size(); ++i)
      result[o] += w.at(static_cast<std::int64_t>(o * v.size() + i)) * v[i];
  return result;
}

Vector transposed_times(const Tensor& w, const Vector& v) {
  Vector result(static_cast<std::size_t>(w.dims()[1]), 0);
  for (std::size_t o = 0; o < v.size(); ++o)
    for (std::size_t i = 0; i < result.size(); ++i)
      result[i] += w.at(static_cast<std::int64_t>(o * result.size() + i)) * v[o];
  return result;
}

}  // namespace

TEST_CASE("silent failure 1: a functional ReLU is clipped by Guided Backprop and DeconvNet") {
  Graph graph(DType::float64);
  Draw draw(21);
  const Tensor w1 = draw.tensor({6, 4}), w2 = draw.tensor({6, 6}), w3 = draw.tensor({3, 6});
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  // One ReLU, called twice.
  const auto activate = [](Expr v) { return relu(v); };
  const Expr y =
      dense(activate(dense(activate(dense(x, graph.constant(w1))), graph.constant(w2))), graph.constant(w3));
  for (const bool guided : {true, false}) {
    const Tensor value = draw.tensor({1, 4});
    const Tensor map =
        maps(library(), guided ? "guided_backprop" : "deconvnet", question_about(y, {x}), {{"x", value}})[0];
    const Vector z1 = times(w1, {value.values<double>().begin(), value.values<double>().end()});
    Vector h1 = z1;
    for (double& v : h1) v = std::max(v, 0.0);
    const Vector z2 = times(w2, h1);
    const auto back = [&](Vector g, const Vector& z) {
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = guided && z[i] <= 0 ? 0 : std::max(g[i], 0.0);
      return g;
    };
    const Vector expected =
        transposed_times(w1, back(transposed_times(w2, back(transposed_times(w3, {1, 0, 0}), z2)), z1));
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(map.at(static_cast<std::int64_t>(i)) == doctest::Approx(expected[i]).epsilon(1e-12));
  }
}

TEST_CASE("silent failure 2: functional GELU, SiLU and tanh pass relevance on") {
  for (const std::string name : {"gelu", "silu", "tanh"}) {
    CAPTURE(name);
    Graph graph(DType::float64);
    Draw draw(22);
    const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
    Expr h = x;
    for (int layer = 0; layer < 3; ++layer) h = graph.apply(op(name), {dense(h, draw.weight(graph, {5, 5}))});
    const Expr y = dense(h, draw.weight(graph, {3, 5}));
    const Analysis analysis = analyze(library(), AnalyzerCall::parse("eps:e=1e-12"), question_about(y, {x}));
    const auto values =
        evaluate(std::vector<Expr>{analysis.attributions[0], analysis.seed}, {{"x", draw.tensor({3, 5})}});
    CHECK(std::abs(total(values[0]) - total(values[1])) < 1e-7);
  }
}

TEST_CASE("silent failure 3: a layer used twice is explained as two layers with equal weights") {
  // The clone's weights are inputs of their own, fed with equal numbers: nothing can be shared.
  for (const std::string method : {"eps", "eps:e=0.1", "gamma_rule", "plus"}) {
    CAPTURE(method);
    Draw draw(23);
    const Tensor shared = draw.tensor({5, 5}, -0.5, 1), bias = draw.tensor({5}),
                 top = draw.tensor({3, 5}, -0.5, 1), value = draw.tensor({2, 5});
    const auto explained = [&](bool tied) {
      Graph graph(DType::float64);
      const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
      Inputs inputs{{"x", value}};
      Expr h = x;
      for (int use = 0; use < 3; ++use) {
        Expr w = graph.constant(shared), b = graph.constant(bias);
        if (!tied) {
          w = graph.input("w" + std::to_string(use), {DType::float64, Shape{5, 5}});
          b = graph.input("b" + std::to_string(use), {DType::float64, Shape{5}});
          inputs["w" + std::to_string(use)] = shared;
          inputs["b" + std::to_string(use)] = bias;
        }
        h = relu(dense(h, w, b));
      }
      return maps(library(), method, question_about(dense(h, graph.constant(top)), {x}), inputs)[0];
    };
    const Tensor tied = explained(true);
    CHECK(largest(tied) > 1e-3);
    CHECK(distance(tied, explained(false)) < 1e-12 * largest(tied));
  }
}

TEST_CASE("silent failure 4: a pooling used at two sizes is explained as the two convolutions that it is") {
  Draw draw(24);
  const Tensor w1 = draw.tensor({3, 3, 3, 3}), w2 = draw.tensor({3, 3, 1, 1}), top = draw.tensor({2, 3}),
               value = draw.tensor({2, 3, 8, 8});
  const auto explained = [&](bool pooled) {
    Graph graph(DType::float64);
    const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 8, 8}});
    const auto halve = [&](Expr v) {
      if (pooled) return avg_pool(v, {{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false, false});
      return conv(v, graph.constant(Tensor::full(DType::float64, {3, 1, 2, 2}, 0.25)), 0.0,
                  {{2, 2}, {0, 0}, {0, 0}, {1, 1}, 3});
    };
    Expr h = halve(relu(conv(x, graph.constant(w1), 0.0, {{}, {1, 1}, {1, 1}, {}, 1})));
    h = halve(relu(conv(h, graph.constant(w2))));
    return maps(library(), "eps", question_about(dense(mean(h, {2, 3}), graph.constant(top)), {x}),
                {{"x", value}})[0];
  };
  const Tensor pooled = explained(true);
  CHECK(largest(pooled) > 1e-4);
  CHECK(distance(pooled, explained(false)) < 1e-12 * largest(pooled));
}

TEST_CASE("silent failure 5: x + f(x) in the forward function conserves, and equals a sum that is a layer") {
  for (const int blocks : {1, 4, 8, 16}) {
    CAPTURE(blocks);
    Draw draw(25);
    std::vector<Tensor> weights;
    for (int block = 0; block < blocks; ++block) weights.push_back(draw.tensor({4, 4}, -0.5, 0.5));
    const Tensor top = draw.tensor({3, 4}), value = draw.tensor({2, 4});
    double lost = 0;
    const auto explained = [&](bool functional, const std::string& method) {
      Graph graph(DType::float64);
      const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
      Expr h = x;
      for (const Tensor& w : weights) {
        const Expr body = tanh(dense(h, graph.constant(w)));
        const Expr branches[] = {h, body};
        Tensor both = Tensor::full(DType::float64, {4, 8}, 0);
        for (std::size_t i = 0; i < 4; ++i)
          both.mutable_values<double>()[i * 8 + i] = both.mutable_values<double>()[i * 8 + 4 + i] = 1;
        h = functional ? h + body : dense(concat(branches, 1), graph.constant(both));
      }
      const Analysis analysis =
          analyze(library(), AnalyzerCall::parse(method), question_about(dense(h, graph.constant(top)), {x}));
      const auto values =
          evaluate(std::vector<Expr>{analysis.attributions[0], analysis.seed}, {{"x", value}});
      lost = std::abs(total(values[0]) - total(values[1]));
      return values[0];
    };
    const Tensor functional = explained(true, "eps");
    CHECK(distance(functional, explained(false, "eps")) < 1e-11 * std::max(1.0, largest(functional)));
    const Tensor exact = explained(true, "eps:e=1e-13");
    CHECK(lost < 1e-8 * std::max(1.0, largest(exact)));
  }
}

TEST_CASE(
    "silent failure 6: batch norm behind a ReLU, or registered in another order, leaves the scores alone") {
  Graph graph(DType::float64);
  Draw draw(26);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2, 6, 6}});
  const auto norm = [&](Expr v) {
    return batch_norm(v, draw.weight(graph, {3}, 0.3, 2), draw.weight(graph, {3}), draw.weight(graph, {3}),
                      draw.weight(graph, {3}, 0.3, 2));
  };
  const Expr first = conv(x, draw.weight(graph, {3, 2, 3, 3}), draw.weight(graph, {3}));
  const Expr behind_relu = norm(relu(first));  // conv, relu, norm: the norm is not the convolution's
  const Expr second = norm(conv(behind_relu, draw.weight(graph, {3, 3, 3, 3})));
  const Expr y = dense(flatten(relu(second)), draw.weight(graph, {4, 12}));
  const Analysis analysis = analyze(library(), {"lrp.epsilon", {}}, question_about(y, {x}));
  std::size_t norms = 0;
  for (const Step& step : analysis.steps) norms += step.node.is("batch_norm") ? 1 : 0;
  CHECK(norms == 1);
  const auto values = evaluate(std::vector<Expr>{y, analysis.output}, {{"x", draw.tensor({4, 2, 6, 6})}});
  CHECK(distance(values[0], values[1]) < 1e-12 * std::max(1.0, largest(values[0])));
}

TEST_CASE(
    "silent failure 7: DeepLIFT with one functional ReLU for all layers, a reshape among them, is complete") {
  Graph graph(DType::float64);
  Draw draw(27);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2, 4, 4}});
  const Expr hidden = relu(conv(x, draw.weight(graph, {3, 2, 3, 3}), draw.weight(graph, {3})));
  const Expr y = dense(relu(dense(flatten(hidden), draw.weight(graph, {6, 12}), draw.weight(graph, {6}))),
                       draw.weight(graph, {3, 6}), draw.weight(graph, {3}));
  const Tensor value = draw.tensor({1, 2, 4, 4}), baseline = draw.tensor({1, 2, 4, 4});
  AnalyzerCall call{"deeplift.rescale", {{"baseline", baseline}}};
  const Tensor map =
      evaluate(analyze(library(), call, question_about(y, {x})).attributions, {{"x", value}})[0];
  const std::vector<Expr> score{y};
  const double difference =
      evaluate(score, {{"x", value}})[0].at(0) - evaluate(score, {{"x", baseline}})[0].at(0);
  CHECK(total(map) == doctest::Approx(difference).epsilon(1e-9));
}
