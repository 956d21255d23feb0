// Patching of components against replacing values by hand, and against loops over the linearised network.
#include <doctest/doctest.h>

#include "recipe/token_network.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;
using namespace rulegrad::testing::tokens;

namespace {

/// The score of class 1 where a branch of block `l` gives what it gives in `other`.
double with_branch(const TokenNetwork& net, const Matrix& x, const TokenNetwork::Block& other, std::size_t l,
                   bool mlp) {
  std::array<TokenNetwork::Block, blocks> noted;
  return net.forward(x, noted, 1, [&](std::size_t block, bool is_mlp, Matrix& branch) {
    if (block == l && is_mlp == mlp) branch = mlp ? other.mlp : other.attention;
  });
}

}  // namespace

TEST_CASE("attribution patching is what replacing components does, to first order, and edges sum to it") {
  const TokenNetwork net(true);
  Built built(net);
  const Matrix x = input_of();
  double at = 5.1;
  Matrix other = x;
  const Matrix step = waves(T, D, at, 1e-5);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t i = 0; i < D; ++i) other[t][i] += step[t][i];
  std::array<TokenNetwork::Block, blocks> clean, changed, patched;
  const double score = net.forward(x, clean, 1);
  (void)net.forward(other, changed, 1);
  const auto attribution = [&](const std::string& method, const std::string& component,
                               const std::string& into = {}) {
    AnalyzerCall call{.name = method, .arguments = {}};
    call.arguments.emplace_back("source", std::string("x"));
    if (!into.empty()) call.arguments.emplace_back("into", into);
    call.arguments.emplace_back("other", tensor_of(other));
    const Analysis analysis =
        analyze(RuleLibrary::builtin(), call,
                question_for(built.y, {built.node(component)}, fixed_target(built.graph, 1)));
    return sum_of(Program::compile(analysis.attributions).run({{"x", Built::batch_of(x)}}).at(0));
  };
  for (std::size_t l = 0; l < blocks; ++l)
    for (const bool mlp : {false, true}) {
      const std::string component = "block" + std::to_string(l) + (mlp ? ".mlp" : ".attention");
      CAPTURE(component);
      const double effect = with_branch(net, x, changed[l], l, mlp) - score;
      CHECK(attribution("attribution_patching", component) == doctest::Approx(effect).epsilon(1e-3));
    }
  // What each of them, and the input, changes at the entry of the last MLP alone.
  double edges = 0;
  for (const std::string component : {"block0.attention", "block0.mlp", "block1.attention", "x"}) {
    CAPTURE(component);
    Matrix delta = zeros(T, D);
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < D; ++i)
        delta[t][i] = component == "x" ? step[t][i]
                      : component == "block0.attention"
                          ? changed[0].attention[t][i] - clean[0].attention[t][i]
                      : component == "block0.mlp" ? changed[0].mlp[t][i] - clean[0].mlp[t][i]
                                                  : changed[1].attention[t][i] - clean[1].attention[t][i];
    const double effect = net.forward(x, patched, 1, {}, &delta) - score;
    const double edge = attribution("edge_patching", component, "block1.norm2");
    CHECK(edge == doctest::Approx(effect).epsilon(1e-3));
    edges += edge;
  }
  Matrix all = zeros(T, D);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t i = 0; i < D; ++i) all[t][i] = changed[1].norm2.x[t][i] - clean[1].norm2.x[t][i];
  CHECK(edges == doctest::Approx(net.forward(x, patched, 1, {}, &all) - score).epsilon(1e-3));
}

TEST_CASE("activation patching is the network run with another value of a component") {
  const TokenNetwork net(true);
  Built built(net);
  const Matrix x = input_of();
  double at = 7.7;
  const Matrix other = waves(T, D, at, 1.1);
  std::array<TokenNetwork::Block, blocks> clean, changed;
  const double score = net.forward(x, clean, 1);
  (void)net.forward(other, changed, 1);
  for (std::size_t l = 0; l < blocks; ++l)
    for (const bool mlp : {false, true}) {
      const std::string component = "block" + std::to_string(l) + (mlp ? ".mlp" : ".attention");
      CAPTURE(component);
      const double effect = with_branch(net, x, changed[l], l, mlp) - score;
      AnalyzerCall call{.name = "activation_patching", .arguments = {}};
      call.arguments.emplace_back("component", component);
      call.arguments.emplace_back("source", std::string("x"));
      call.arguments.emplace_back("other", tensor_of(other));
      const Analysis analysis = analyze(RuleLibrary::builtin(), call,
                                        question_for(built.y, {built.x}, fixed_target(built.graph, 1)));
      const double sum =
          sum_of(Program::compile(analysis.attributions).run({{"x", Built::batch_of(x)}}).at(0));
      CHECK(sum == doctest::Approx(effect).epsilon(1e-9));
    }
}

TEST_CASE("relevance patching is the other value less this one times RelP's coefficients, by plain loops") {
  for (const bool gated : {true, false}) {
    CAPTURE(gated);
    const TokenNetwork net(gated);
    Built built(net);
    const Matrix x = input_of();
    double at = 2.3;
    const Matrix other = waves(T, D, at, 1.4);
    std::array<TokenNetwork::Block, blocks> clean, changed;
    (void)net.forward(x, clean, 1);
    (void)net.forward(other, changed, 1);
    const Matrix g =
        net.backward(clean, 1, {.frozen_norms = true, .secants = true, .gates = gated ? 0.5 : 1});
    const auto patched = [&](Expr component) {
      AnalyzerCall call{.name = "relp.patching", .arguments = {}};
      call.arguments.emplace_back("source", std::string("x"));
      call.arguments.emplace_back("other", tensor_of(other));
      const Analysis analysis = analyze(RuleLibrary::builtin(), call,
                                        question_for(built.y, {component}, fixed_target(built.graph, 1)));
      return Program::compile(analysis.attributions).run({{"x", Built::batch_of(x)}}).at(0);
    };
    const auto expected = [](const Matrix& there, const Matrix& here, const Matrix& coefficients) {
      Matrix result = there;
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < D; ++i) result[t][i] = (there[t][i] - here[t][i]) * coefficients[t][i];
      return tensor_of(result);
    };
    CHECK(distance(patched(built.x), expected(other, x, g)) < 1e-9);
    for (std::size_t l = 0; l < blocks; ++l) {
      const std::string block = "block" + std::to_string(l);
      CHECK(distance(patched(built.node(block + ".attention")),
                     expected(changed[l].attention, clean[l].attention, clean[l].grad_attention)) < 1e-9);
      CHECK(distance(patched(built.node(block + ".mlp")),
                     expected(changed[l].mlp, clean[l].mlp, clean[l].grad_mlp)) < 1e-9);
    }
  }
}
