// Rules chosen by position and by name, and relevance kept to some channels of a named layer.
#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// dense 4 -> 5, relu ("hidden"), dense 5 -> 5, relu ("concepts"), dense 5 -> 3, all without bias.
struct Mlp {
  Graph graph{DType::float64};
  Draw draw{11};
  Tensor w1 = draw.tensor({5, 4}), w2 = draw.tensor({5, 5}), w3 = draw.tensor({3, 5});
  Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  Expr y;
  Mlp() {
    const Expr hidden = relu(dense(x, graph.constant(w1)));
    const Expr concepts = relu(dense(hidden, graph.constant(w2)));
    graph.add_name(hidden, "body.hidden");
    graph.add_name(concepts, "body.concepts");
    y = dense(concepts, graph.constant(w3));
  }
};

using Vector = std::vector<double>;

Vector times(const Tensor& w, const Vector& v, bool cut) {
  Vector result(static_cast<std::size_t>(w.dims()[0]), 0);
  for (std::size_t o = 0; o < result.size(); ++o) {
    for (std::size_t i = 0; i < v.size(); ++i)
      result[o] += w.at(static_cast<std::int64_t>(o * v.size() + i)) * v[i];
    if (cut) result[o] = std::max(result[o], 0.0);
  }
  return result;
}

/// The epsilon rule of a layer without bias, as sums over its connections.
Vector epsilon_rule(const Tensor& w, const Vector& in, const Vector& relevance, double epsilon) {
  const Vector z = times(w, in, false);
  Vector result(in.size(), 0);
  for (std::size_t o = 0; o < z.size(); ++o)
    for (std::size_t i = 0; i < in.size(); ++i)
      result[i] += in[i] * w.at(static_cast<std::int64_t>(o * in.size() + i)) * relevance[o] /
                   (z[o] + (z[o] >= 0 ? epsilon : -epsilon));
  return result;
}

}  // namespace

TEST_CASE("concept-conditional relevance: a named layer's channels are masked, the rules below go on") {
  const RuleLibrary library = library_with(
      "rules condition(mask: tensor) { grad(y: activation, r) wrt v when name(\"*.concepts\") => next(r * "
      "along(mask, channels, y)) }\n"
      "analyzer crp(mask: tensor) { use condition(mask)  use lrp.epsilon(0.01)  use lrp.rest }\n");
  Mlp net;
  const Vector mask{0, 1, 0, 1, 0};
  const AnalyzerCall call{"crp", {{"mask", Tensor({5}, std::span<const double>(mask))}}};
  const Analysis analysis = analyze(library, call, question_about(net.y, {net.x}));
  std::size_t masked = 0;
  for (const Step& step : analysis.steps) masked += step.by->rule_set == "condition" ? 1 : 0;
  CHECK(masked == 1);
  for (int sample = 0; sample < 5; ++sample) {
    const Tensor value = net.draw.tensor({1, 4});
    const Tensor map = evaluate(analysis.attributions, {{"x", value}})[0];
    const Vector x(value.values<double>().begin(), value.values<double>().end());
    const Vector h1 = times(net.w1, x, true), h2 = times(net.w2, h1, true);
    Vector r = epsilon_rule(net.w3, h2, {1, 0, 0}, 0.01);
    for (std::size_t i = 0; i < 5; ++i) r[i] *= mask[i];
    r = epsilon_rule(net.w1, x, epsilon_rule(net.w2, h1, r, 0.01), 0.01);
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(map.at(static_cast<std::int64_t>(i)) == doctest::Approx(r[i]).epsilon(1e-10));
  }
}

TEST_CASE("index ranges and name globs give layers rules of their own") {
  const RuleLibrary library = library_with(
      "analyzer by_index { use lrp.epsilon(0.5) on index(affine, 0..1)  use lrp.epsilon(0.01)  use lrp.rest "
      "}\n"
      "analyzer by_end { use lrp.epsilon(0.01) on index(affine, -1)  use lrp.epsilon(0.5)  use lrp.rest }\n"
      "analyzer by_depth { use lrp.epsilon(0.5) on depth < 4  use lrp.epsilon(0.01)  use lrp.rest }\n");
  Mlp net;
  const Tensor value = net.draw.tensor({1, 4});
  const Vector x(value.values<double>().begin(), value.values<double>().end());
  const Vector h1 = times(net.w1, x, true), h2 = times(net.w2, h1, true);
  const Vector r =
      epsilon_rule(net.w1, x, epsilon_rule(net.w2, h1, epsilon_rule(net.w3, h2, {1, 0, 0}, 0.01), 0.5), 0.5);
  for (const std::string method : {"by_index", "by_end", "by_depth"}) {
    CAPTURE(method);
    const Tensor map = maps(library, method, question_about(net.y, {net.x}), {{"x", value}})[0];
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(map.at(static_cast<std::int64_t>(i)) == doctest::Approx(r[i]).epsilon(1e-10));
  }
}

TEST_CASE("the first layer is found behind padding, reshape and input normalisation") {
  Graph graph(DType::float64);
  Draw draw(12);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 32}});
  const Expr normal = (reshape(x, Shape{B, 2, 4, 4}) - 0.45) / 0.22;
  const Expr padded =
      graph.apply(op("pad"), {normal}, PadAttributes{{0, 0, 1, 1}, {0, 0, 1, 1}, PadMode::reflect, 0});
  const Expr first = conv(padded, draw.weight(graph, {3, 2, 3, 3}));
  graph.add_name(first, "first");
  const Expr y =
      dense(flatten(relu(conv(relu(first), draw.weight(graph, {3, 3, 3, 3})))), draw.weight(graph, {2, 12}));
  const RuleLibrary library = library_with(
      "analyzer a { use lrp.flat on first(affine)  use lrp.z_plus on conv  use lrp.epsilon  use lrp.rest "
      "}\n");
  std::vector<std::string> flat;
  for (const Step& step : analyze(library, {"a", {}}, question_about(y, {x})).steps)
    if (step.by->rule_set == "lrp.flat") flat.push_back(describe(step.node));
  REQUIRE(flat.size() == 1);
  CHECK(flat[0].find("'first'") != std::string::npos);
}

TEST_CASE("rule sets are strict: what they do not know is an error, unless nothing reaches it") {
  Graph graph(DType::float64);
  Draw draw(13);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr hidden = graph.apply(op("hardswish"), {dense(x, draw.weight(graph, {5, 4}))});
  graph.add_name(hidden, "act1");
  const Expr y = dense(hidden, draw.weight(graph, {3, 5}));
  const RuleLibrary library = library_with(
      "rules only_relu { grad(relu(x), r) => r }\n"
      "analyzer strict { use lrp.epsilon  use only_relu }\n"
      "rules stop { grad(y: dense(x), _) when last(dense) => 0 }\n"
      "analyzer stopped { use stop  use lrp.epsilon }\n");
  const std::string message = error_of([&] {
    (void)analyze(library, {"strict", {}}, question_about(y, {x}));
  });
  CHECK(message.find("no rule for 1 gradient node") != std::string::npos);
  CHECK(message.find("hardswish 'act1'") != std::string::npos);
  const Tensor map = maps(library, "stopped", question_about(y, {x}), {{"x", draw.tensor({1, 4})}})[0];
  CHECK(largest(map) == 0);
}
