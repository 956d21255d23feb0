// Inferred intervals, held against what kernels compute.
#include <cstdlib>
#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// A ReLU that lets one negative number through, as a kernel with errors of its own would.
Kernels leaky() {
  Kernels kernels = Kernels::portable();
  Kernel kernel = *kernels.at("relu");
  kernel.run = [](const KernelCall& call) {
    for (std::int64_t i = 0; i < call.result.count(); ++i)
      call.result.as<float>()[i] = std::max(call.operands[0].as<float>()[i], 0.0f);
    call.result.as<float>()[4] = -0.25f;
  };
  kernels.set("relu", kernel);
  return kernels;
}

}  // namespace

TEST_CASE("a kernel that breaks what was inferred of it is found, with node, value, place and interval") {
  const Kernels kernels = leaky();
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr y = relu(x), z = y + 1;
  graph.add_name(y, "act");
  const Inputs inputs{{"x", Tensor::full(DType::float32, {2, 3}, 1)}};
  const auto run = [&](bool check) {
    return Program::compile(std::span(&z, 1), {.kernels = &kernels, .fuse = false, .check_facts = check})
        .run(inputs);
  };
  CHECK_NOTHROW((void)run(false));
  CHECK_THROWS_WITH_AS((void)run(true), doctest::Contains("'act'"), Error);
  CHECK_THROWS_WITH_AS((void)run(true),
                       doctest::Contains("gave -0.25 at [1, 1], but was inferred to lie in [0, inf]"), Error);
  ::setenv("RULEGRAD_CHECK_FACTS", "1", 1);
  CHECK_THROWS_WITH_AS((void)run(false), doctest::Contains("inferred to lie in"), Error);
  ::unsetenv("RULEGRAD_CHECK_FACTS");
  CHECK_NOTHROW((void)run(false));
}

TEST_CASE("constants that are folded are held against it too") {
  const Kernels kernels = leaky();
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 6}});
  const Expr z = x * relu(graph.constant(Tensor({6}, {-1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f})));
  CHECK_NOTHROW((void)Program::compile(std::span(&z, 1), {.kernels = &kernels}));
  CHECK_THROWS_WITH_AS((void)Program::compile(std::span(&z, 1), {.kernels = &kernels, .check_facts = true}),
                       doctest::Contains("inferred to lie in"), Error);
}

TEST_CASE(
    "what the kernels compute of random networks and methods keeps every inferred interval, in loops over "
    "samples too") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Graph graph(seed % 2 == 0 ? DType::float64 : DType::float32);
    NetworkMaker maker(graph, seed, {});
    const Network net = seed % 3 == 0 ? maker.mlp() : maker.cnn();
    const Question question = question_for(net.output, {net.input}, fixed_target(graph, 0));
    for (const char* method :
         {"gradient", "lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.generalized_gamma",
          "guided_backprop:allow_unmatched=1", "deeplift.rescale", "zennit.epsilon_gamma_box",
          "integrated_gradients:steps=3", "smoothgrad:n=2"}) {
      CAPTURE(method);
      const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
      for (const bool simplify : {true, false})
        CHECK_NOTHROW((void)Program::compile(analysis.attributions,
                                             {.simplify = simplify, .poison = true, .check_facts = true})
                          .run({{"x", maker.values(net.input_dims)}}));
    }
  }
}
