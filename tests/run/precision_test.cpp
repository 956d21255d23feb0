// Which convolutions may be computed with Winograd's transforms, what is restored of those that are, and what
// it costs.
#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"

#include "compile/fast_contractions.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

Tensor random_tensor(const Dims& dims, std::uint64_t seed, double deviation = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(deviation));
  Tensor x(DType::float32, dims);
  for (float& value : x.mutable_values<float>()) value = normal(random);
  return x;
}

constexpr std::int64_t channels = 64, extent = 16;

/// Convolutions that are wide enough for Winograd to pay, over one input.
struct Net {
  Graph graph;
  Expr x = graph.input("x", {DType::float32, Shape{B, channels, extent, extent}});
  Expr w = graph.constant(random_tensor({channels, channels, 3, 3}, 1, 0.06)),
       b = graph.constant(random_tensor({channels}, 2)), zero = graph.scalar(0);

  Expr conv(Expr of, Expr weight, Expr bias) {
    return graph.apply(op("conv"), {of, weight, bias}, ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
  }
  Expr back(Expr g) {
    return graph.apply(op("conv_transpose"), {g, w, zero},
                       ConvTransposeAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, {extent, extent}});
  }
  Expr make(const char* name, std::vector<Expr> operands) {
    return graph.make(op(name), std::move(operands));
  }
  Expr stabilized(Expr z) { return make("stabilize", {z, graph.scalar(1e-6)}); }
};

bool allowed(Expr contraction, Expr output) {
  return FastContractions(std::span(&output, 1), Kernels::best()).allowed(contraction);
}

/// Layers of 64 channels, as VGG-16 has them, on small images.
Expr deep_network(Graph& graph, int blocks, bool with_bias = true) {
  std::uint64_t seed = 10;
  const auto bias = [&](std::int64_t n) {
    return with_bias ? graph.constant(random_tensor({n}, ++seed, 0.1)) : graph.scalar(0);
  };
  Expr h = graph.input("x", {DType::float32, Shape{B, 3, 32, 32}});
  for (int block = 0; block < blocks; ++block) {
    for (int layer = 0; layer < 2; ++layer) {
      const std::int64_t in = h.shape()[1].factor;
      h = graph.apply(op("conv"),
                      {h,
                       graph.constant(random_tensor({channels, in, 3, 3}, ++seed,
                                                    std::sqrt(2.0 / (9.0 * static_cast<double>(in))))),
                       bias(channels)},
                      ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
      h = graph.apply(op("relu"), {h});
    }
    h = graph.apply(op("max_pool"), {h}, PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false});
  }
  const std::int64_t features = element_count(h.shape().at({1, 1}));
  h = graph.apply(op("reshape"), {h}, ShapeAttributes{Shape{B, features}});
  return graph.apply(
      op("dense"),
      {h, graph.constant(random_tensor({10, features}, ++seed, 1 / std::sqrt(static_cast<double>(features)))),
       bias(10)});
}

bool machine_has_winograd() {
  Net net;
  const Expr y = net.conv(net.x, net.w, net.b);
  return Program::compile(std::span(&y, 1), {.precision = Precision::fast}).stats({}).winograd == 1;
}

/// How many contractions of a method run by Winograd's transforms.
std::size_t winograd_of(const char* method, Expr y) {
  Graph& graph = y.graph();
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                                    question_for(y, {graph.inputs()[0]}, fixed_target(graph, 0)));
  return Program::compile(analysis.attributions, {.precision = Precision::fast}).stats({}).winograd;
}

}  // namespace

TEST_CASE(
    "a convolution whose result is asked whether it is 0 stays direct, unless its bias keeps it off 0") {
  Net net;
  const Expr with = net.conv(net.x, net.w, net.b), without = net.conv(net.x, net.w, net.zero);
  const Expr some_zeros = net.conv(net.x, net.w, net.make("max", {net.b, net.zero}));
  const auto decisions = [&](Expr z) {
    return std::vector<Expr>{
        net.make("where", {net.make("greater", {z, net.zero}), net.x, net.zero}),
        net.make("sign", {z}),
        net.make("over", {net.x, z}),
        net.make("where", {net.make("equal", {net.make("relu", {z}), net.zero}), net.x, net.zero}),
        net.make("sign", {net.make("mul", {z, net.x})}),
        net.make("stabilize", {z, net.graph.scalar(1e-6)})};
  };
  for (const Expr y : decisions(with)) CHECK(allowed(with, y));
  for (const Expr y : decisions(without)) CHECK_FALSE(allowed(without, y));
  for (const Expr y : decisions(some_zeros)) CHECK_FALSE(allowed(some_zeros, y));
  for (const Expr z : {with, without}) {
    CHECK(allowed(z, z));
    CHECK(allowed(z, net.make("relu", {z})));
    CHECK(allowed(z, net.graph.apply(op("max_pool"), {z},
                                     PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false})));
  }
  // Through a layer without a bias the question goes on, and a bias ends it.
  CHECK_FALSE(allowed(without, net.make("sign", {net.conv(net.make("relu", {without}), net.w, net.zero)})));
  CHECK(allowed(without, net.make("sign", {net.conv(net.make("relu", {without}), net.w, net.b)})));
}

TEST_CASE("differences are 0 where both sides are the same: no bias helps") {
  Net net;
  const Expr a = net.conv(net.x, net.w, net.b), x2 = net.graph.input("x2", net.x.type()),
             b = net.conv(x2, net.w, net.b);
  for (const Expr y :
       {net.make("over", {net.x, a - b}), net.make("where", {net.make("equal", {a, b}), net.x, net.zero})}) {
    CHECK_FALSE(allowed(a, y));
    CHECK_FALSE(allowed(b, y));
  }
}

TEST_CASE(
    "stabilize is content with an inferred sign, which the kernel restores; a comparison with 0 is not") {
  Net net;
  const Expr wp = net.make("max", {net.w, net.zero}), zp = net.conv(net.make("relu", {net.x}), wp, net.zero);
  CHECK(allowed(zp, net.stabilized(zp)));
  CHECK_FALSE(allowed(zp, net.make("equal", {zp, net.zero})));
  CHECK_FALSE(allowed(zp, net.make("over", {net.x, zp})));
  CHECK_FALSE(allowed(zp, net.stabilized(zp - net.x)));
}

TEST_CASE("what is sent back through a quotient: direct unless that is known to be bounded") {
  Net net;
  const Expr x = net.make("relu", {net.x}), z = net.conv(x, net.w, net.b), a = net.make("relu", {z}),
             s = net.graph.input("s", z.type());
  const Expr wp = net.make("max", {net.w, net.zero}), bp = net.make("max", {net.b, net.zero}),
             wn = net.make("min", {net.w, net.zero});
  const auto sent = [&](Expr numerator, Expr divisor) {
    return net.back(numerator / net.stabilized(divisor));
  };
  const auto is_allowed = [&](Expr y) { return allowed(y, y); };
  CHECK(is_allowed(net.back(s)));
  CHECK(is_allowed(net.back(a * s)));
  CHECK(is_allowed(sent(a * s, z)));                                                  // epsilon
  CHECK(is_allowed(sent(a * s, net.conv(x, wp, bp))));                                // z+
  CHECK(is_allowed(sent(a * s, net.conv(x, net.w + wp * 0.25, net.b + bp * 0.25))));  // gamma
  CHECK_FALSE(is_allowed(sent(s, net.conv(x, wp, bp))));                              // relevance of anything
  CHECK_FALSE(is_allowed(sent(a * s, net.conv(x, wn, net.zero))));  // the negative part may be far smaller
  CHECK_FALSE(is_allowed(sent(a * s, net.conv(net.x, wp, bp))));    // another input
}

TEST_CASE("methods keep their facts with Precision::fast: asserted on every stored value") {
  for (const bool with_bias : {true, false})
    for (const char* method :
         {"gradient", "guided_backprop", "lrp.epsilon", "lrp.z_plus", "lrp.epsilon_plus_flat",
          "lrp.alpha_2_beta_1", "lrp.generalized_gamma", "zennit.epsilon_gamma_box", "deep_taylor",
          "smoothgrad:n=2,method=lrp.z_plus", "integrated_gradients:steps=2"}) {
      CAPTURE(with_bias);
      CAPTURE(method);
      Graph graph;
      const Expr y = deep_network(graph, 1, with_bias);
      Tensor x = random_tensor({1, 3, 32, 32}, 3);
      for (std::size_t i = 0; i < x.mutable_values<float>().size(); i += 1)
        if (i / 32 % 32 < 20) x.mutable_values<float>()[i] = 0;  // empty windows
      const Question question = question_for(y, {graph.inputs()[0]}, fixed_target(graph, 0));
      const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
      const auto run = [&](Precision precision) {
        return Program::compile(analysis.attributions,
                                {.precision = precision, .poison = true, .check_facts = true})
            .run({{"x", x}})[0];
      };
      const Tensor exact = run(Precision::exact), fast = run(Precision::fast);
      CHECK(distance(fast, exact) < 1e-3);
    }
}

TEST_CASE("where Winograd's transforms are used, method by method") {
  if (!machine_has_winograd()) return;
  Graph graph;
  const Expr y = deep_network(graph, 1);
  const auto count = [&](const char* method) { return winograd_of(method, y); };
  // One of the two layers is wide enough. Forward, and back:
  CHECK(count("gradient") == 2);
  CHECK(count("guided_backprop") == 2);
  CHECK(count("lrp.epsilon") == 2);
  CHECK(count("lrp.z_plus") == 3);  // and the positive part
  CHECK(count("lrp.gamma") == 3);
  // Positive and negative part are compared with 0, and what goes back through the negative one is not bounded; the
  // difference of both has the layer's input as a factor, which the positive part bounds.
  CHECK(count("lrp.alpha_2_beta_1") == 2);
  CHECK(Program::compile(std::span(&y, 1)).stats({}).winograd == 0);
}

TEST_CASE("loops over samples are fast contraction by contraction, as what is behind the loop asks") {
  if (!machine_has_winograd()) return;
  Graph graph;
  const Expr y = deep_network(graph, 1);
  const auto count = [&](const char* method) { return winograd_of(method, y); };
  CHECK(count("integrated_gradients:steps=2") == 2);
  // The positive part and what is divided by it have a known sign, which nothing within the loop would restore.
  CHECK(count("smoothgrad:n=2,method=lrp.z_plus") == 1);
  // Without biases masks ask the first layer for its sign, but not what goes back.
  Graph other;
  const Expr plain = deep_network(other, 1, false);
  CHECK(winograd_of("gradient", plain) == 1);
  CHECK(winograd_of("integrated_gradients:steps=2", plain) == 1);
}

TEST_CASE("automatic: fast where that is measured to stay within 1e-4 of the largest value, else exact") {
  if (!machine_has_winograd()) return;
  Graph graph;
  const Expr y = deep_network(graph, 1);
  const Program program = Program::compile(std::span(&y, 1), {.precision = Precision::automatic});
  CHECK(program.stats({}).winograd == 1);
  // Ten thousand times the difference of two results that are nearly the same.
  Net net;
  const Expr z = net.conv(net.x, net.w, net.b), apart = z - net.conv(net.x * 1.0000001, net.w, net.b);
  CHECK(Program::compile(std::span(&apart, 1), {.precision = Precision::fast}).stats({}).winograd > 0);
  CHECK(Program::compile(std::span(&apart, 1), {.precision = Precision::automatic}).stats({}).winograd == 0);
  // The same where pixels are positive only: normal numbers, whose mean is 0, do not show it.
  const double pixels = channels * extent * extent;
  const Expr bright = relu(sum(net.x, {1, 2, 3}, true) * (1 / pixels) - 0.3);
  const Expr shown = net.conv(net.x, net.w, net.b) + apart * bright * 1e5;
  CHECK(Program::compile(std::span(&shown, 1), {.precision = Precision::fast}).stats({}).winograd > 0);
  CHECK(Program::compile(std::span(&shown, 1), {.precision = Precision::automatic}).stats({}).winograd == 0);
}
