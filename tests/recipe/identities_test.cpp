// What must hold between methods, on random networks with branches, sums, concatenations, shared weights and
// pooling.
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// A random network with an input, and what methods make of it.
struct Case {
  Graph graph;
  Network net;
  Tensor x;

  Case(std::uint64_t seed, NetworkOptions options, DType dtype = DType::float64) : graph(dtype) {
    NetworkMaker maker(graph, seed, options);
    net = seed % 2 == 0 ? maker.mlp() : maker.cnn();
    x = maker.values(net.input_dims);
  }
  Tensor map(const std::string& method, Question::Seed seed = Question::Seed::own) {
    Question question = question_for(net.output, {net.input}, fixed_target(graph, 1));
    question.seed = seed;
    return explain(method, question, {{"x", x}});
  }
  Tensor scores() { return Program::compile(std::span(&net.output, 1)).run({{"x", x}})[0]; }
};

constexpr NetworkOptions plain{
    .bias = false, .relu_only = true, .max_pool = true, .strictly_positive_input = false};
constexpr NetworkOptions averaging{
    .bias = false, .relu_only = true, .max_pool = false, .strictly_positive_input = false};
constexpr NetworkOptions positive{
    .bias = false, .relu_only = true, .max_pool = true, .strictly_positive_input = true};

template <class Check>
void on_networks(NetworkOptions options, Check&& check, std::uint64_t count = 24) {
  for (std::uint64_t seed = 0; seed < count; ++seed) {
    INFO("network ", seed);
    Case c(seed, options);
    check(c);
  }
}

}  // namespace

TEST_CASE("LRP-0 is input times gradient on bias-free networks of ReLUs") {
  on_networks(plain, [](Case& c) {
    CHECK(distance(c.map("lrp.z", Question::Seed::value), c.map("input_times_gradient")) < 1e-9);
  });
}

TEST_CASE(
    "the epsilon rule goes to LRP-0 as epsilon goes to 0, on networks with biases and any activations") {
  on_networks({}, [](Case& c) {
    const Tensor limit = c.map("lrp.z");
    double before = INFINITY;
    for (const char* epsilon : {"1e-3", "1e-6", "1e-9", "1e-12"}) {
      const double now = distance(c.map(std::string("lrp.epsilon:epsilon=") + epsilon), limit);
      CHECK(now <= std::max(0.5 * before, 1e-11));
      before = now;
    }
    CHECK(before < 1e-6);
  });
}

TEST_CASE("alpha-beta with 1 and 0 is z+ for inputs that are not negative") {
  on_networks(
      positive,
      [](Case& c) {
        CHECK(distance(c.map("lrp.alpha_beta:alpha=1,beta=0,epsilon=1e-6,fill_empty=0"),
                       c.map("lrp.z_plus:epsilon=1e-6")) < 1e-12);
        CHECK(distance(c.map("lrp.alpha_1_beta_0:epsilon=1e-6,fill_empty=0"), c.map("lrp.z_plus")) < 1e-12);
      },
      10);
}

TEST_CASE(
    "DeepLIFT from a baseline of zeros is the epsilon rule on bias-free networks of ReLUs without "
    "max-pooling") {
  on_networks(averaging, [](Case& c) {
    CHECK(distance(c.map("lrp.epsilon:epsilon=1e-12", Question::Seed::value),
                   c.map("deeplift.rescale", Question::Seed::one)) < 1e-6);
  });
}

TEST_CASE("DeepLIFT is complete to rounding and integrated gradients at the rate of their quadrature") {
  double midpoint_16 = 0, midpoint_64 = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    INFO("network ", seed);
    Case c(seed, {});
    const Tensor scores = c.scores();
    Case origin(seed, {});
    for (double& v : origin.x.mutable_values<double>()) v = 0;
    const Tensor base = origin.scores();
    const Tensor deeplift = c.map("deeplift.rescale"), coarse = c.map("integrated_gradients:steps=16"),
                 fine = c.map("integrated_gradients:steps=64");
    for (std::int64_t row = 0; row < 2; ++row) {
      const double difference = scores.at(row * 3 + 1) - base.at(row * 3 + 1),
                   scale = std::max(1.0, std::abs(difference));
      CHECK(std::abs(sum_of(row_of(deeplift, row)) - difference) < 1e-9 * scale);
      midpoint_16 += std::abs(sum_of(row_of(coarse, row)) - difference);
      midpoint_64 += std::abs(sum_of(row_of(fine, row)) - difference);
    }
  }
  // Four times the steps: a sixteenth of the error on smooth stretches, a quarter at the kinks of ReLUs.
  CHECK(midpoint_64 < midpoint_16 / 3);
}

TEST_CASE("rules conserve relevance where there are no biases") {
  for (const std::string method :
       {"lrp.z", "lrp.epsilon:epsilon=1e-13", "lrp.gamma:epsilon=1e-13",
        "lrp.generalized_gamma:epsilon=1e-13", "lrp.alpha_beta:epsilon=1e-13",
        "lrp.alpha_beta:alpha=3,epsilon=1e-13", "lrp.alpha_1_beta_0:epsilon=1e-13",
        "lrp.w_square:epsilon=1e-13", "lrp.flat:epsilon=1e-13", "lrp.z_box:low=-6,high=6,epsilon=1e-13",
        "lrp.epsilon_alpha2_beta1:epsilon=1e-13", "lrp.norm:epsilon=1e-13"}) {
    INFO(method);
    int checked = 0;
    on_networks(plain, [&](Case& c) {
      const Tensor map = c.map(method), scores = c.scores();
      for (std::int64_t row = 0; row < 2; ++row) {
        // Where every unit is off there is nothing to share out by.
        if (scores.at(row * 3 + 1) == 0) continue;
        // These send relevance to silent units, and an average over silent units keeps it.
        if (c.x.dims().size() > 2 && (method.starts_with("lrp.w_square") || method.starts_with("lrp.flat")))
          continue;
        ++checked;
        double size = 1;
        const Tensor one = row_of(map, row);
        for (std::int64_t i = 0; i < one.size(); ++i) size = std::max(size, std::abs(one.at(i)));
        CHECK(std::abs(sum_of(one) - 1) < 1e-6 * size);
      }
    });
    CHECK(checked > 15);
  }
}

TEST_CASE("the peers' methods are the canonical ones where their quirks do not bite") {
  const std::vector<std::pair<std::string, std::string>> always{
      {"zennit.gradient", "gradient"},
      {"zennit.guided_backprop", "guided_backprop"},
      {"zennit.epsilon:epsilon=1e-6", "lrp.epsilon:epsilon=1e-6"},
      {"zennit.z_plus", "lrp.z_plus"},
      {"zennit.gamma", "lrp.generalized_gamma"},
      {"zennit.alpha_beta", "lrp.alpha_beta:epsilon=1e-6,fill_empty=0"},
      {"zennit.w_square", "lrp.w_square"},
      {"zennit.flat", "lrp.flat"},
      {"zennit.z_box:low=-5,high=5",
       "zennit.composite:first_rule=z_box(-5,5),conv_rule=z_box(-5,5),dense_rule=z_box(-5,5)"},
      {"zennit.epsilon_plus", "lrp.epsilon_plus"},
      {"zennit.epsilon_plus_flat", "lrp.epsilon_plus_flat"},
      {"captum.input_x_gradient", "input_times_gradient"},
      {"captum.integrated_gradients:n_steps=8", "integrated_gradients:steps=8,rule=gauss_legendre"},
      {"innvestigate.integrated_gradients:steps=8", "integrated_gradients:steps=8,rule=left"}};
  // Started from the value of the score, as these do.
  const std::vector<std::pair<std::string, std::string>> from_value{
      {"innvestigate.deconvnet", "deconvnet"},
      {"innvestigate.guided_backprop", "guided_backprop"},
      {"innvestigate.lrp.z", "lrp.z"},
      {"innvestigate.lrp.z_IB", "lrp.z"},
      {"innvestigate.lrp.epsilon:epsilon=1e-9", "lrp.epsilon:epsilon=1e-9"},
      {"innvestigate.lrp.w_square", "lrp.w_square:epsilon=1e-12"},
      {"innvestigate.lrp.flat", "lrp.flat:epsilon=1e-12"},
      {"innvestigate.lrp.z_plus", "lrp.z_plus:epsilon=1e-12"},
      {"innvestigate.lrp.alpha_1_beta_0", "lrp.alpha_1_beta_0:epsilon=1e-12,fill_empty=0"},
      {"innvestigate.lrp.alpha_2_beta_1", "lrp.alpha_2_beta_1:epsilon=1e-12,fill_empty=0"},
      {"innvestigate.lrp:rule=epsilon(1e-9)", "lrp.epsilon:epsilon=1e-9"}};
  on_networks(
      positive,
      [&](Case& c) {
        for (const auto& [peer, canonical] : always) {
          INFO(peer, " and ", canonical);
          CHECK(distance(c.map(peer), c.map(canonical)) < 1e-9);
        }
        // The convolutional networks have a branch without an activation, whose negative values set these
        // apart.
        if (c.x.dims().size() > 2) return;
        for (const auto& [peer, canonical] : from_value) {
          INFO(peer, " and ", canonical);
          CHECK(distance(c.map(peer), c.map(canonical, Question::Seed::value)) < 1e-4);
        }
      },
      5);
}

TEST_CASE("float32 and float64 agree") {
  for (const std::string method :
       {"gradient", "lrp.epsilon_plus_flat", "lrp.z_plus", "lrp.flat", "deeplift.rescale", "guided_backprop",
        "zennit.epsilon_plus", "innvestigate.lrp.w_square"})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      INFO(method, ", network ", seed);
      Case wide(seed, positive), narrow(seed, positive, DType::float32);
      CHECK(distance(narrow.map(method), wide.map(method), 1e-3) < 2e-3);
    }
}

TEST_CASE("patterns that equal the weights make PatternNet the gradient from the score's value") {
  on_networks(
      plain,
      [](Case& c) {
        AuxiliaryArrays arrays("test");
        int count = 0;
        for (const Expr e : topological_order(std::span(&c.net.output, 1)))
          if (e.op().is(OpClass::affine)) {
            const std::string name = "layer" + std::to_string(count++);
            c.graph.add_name(e, name);
            arrays.add(name + "/pattern", evaluate(std::vector<Expr>{e.operand(1)}, {}).at(0));
          }
        Question question = question_for(c.net.output, {c.net.input}, fixed_target(c.graph, 1));
        question.aux = std::make_shared<AuxiliaryArrays>(arrays);
        const Tensor net = explain("pattern.net", question, {{"x", c.x}});
        CHECK(distance(net, c.map("gradient", Question::Seed::value)) < 1e-12);
        // Squares of the weights for weight times pattern.
        const Tensor attribution = explain("pattern.attribution", question, {{"x", c.x}});
        CHECK(distance(attribution, net) > 1e-3);
      },
      6);
}

TEST_CASE("the pass rule is the gradient of the network without its activations and normalisations") {
  Graph graph(DType::float64);
  NetworkMaker maker(graph, 5, {});
  const Expr x = graph.input("x", {DType::float64, Shape{B, 6}});
  const Tensor values = maker.values({1, 6});
  const Expr first = graph.constant(maker.values({5, 6})), second = graph.constant(maker.values({3, 5}));
  const Expr ones = graph.constant(Tensor::full(DType::float64, {5}, 1.5)), none = graph.scalar(0);
  const auto map = [&](const std::string& method, const std::vector<const char*>& between) {
    Expr h = graph.apply(op("dense"), {x, first, none});
    for (const std::string name : between) {
      if (name == "layer_norm")
        h = graph.apply(op("layer_norm"), {h, ones, ones}, LayerNormAttributes{});
      else if (name == "rms_norm")
        h = graph.apply(op("rms_norm"), {h, ones}, LayerNormAttributes{});
      else if (name == "lp_normalize")
        h = graph.apply(op("lp_normalize"), {h}, LpNormalizeAttributes{});
      else
        h = graph.apply(op(name), {h});
    }
    const Expr y = graph.apply(op("dense"), {h, second, none});
    return explain(method, question_for(y, {x}, fixed_target(graph, 1)), {{"x", values}});
  };
  const Tensor expected = map("gradient", {});
  for (const char* name : {"relu", "tanh", "gelu", "layer_norm", "rms_norm", "lp_normalize"}) {
    INFO(name);
    CHECK(distance(map("lrp.pass", {name}), expected) < 1e-12);
    CHECK(distance(map("gradient", {name}), expected) > 1e-3);
  }
  CHECK(distance(map("lrp.pass", {"layer_norm", "relu", "rms_norm"}), expected) < 1e-12);
}

namespace {

/// DeepLIFT of a unit of six inputs that it takes with weights which cancel, but for `left`: the multiplier is the
/// function's slope there, however its two runs round.
Tensor of_cancelled_unit(const std::string& function, double left, double bias, DType dtype,
                         std::uint64_t seed) {
  Graph graph(dtype);
  NetworkMaker maker(graph, seed, {});
  const Expr x = graph.input("x", {dtype, Shape{B, 6}});
  Tensor input(DType::float64, {1, 6}), weight(DType::float64, {1, 6});
  const Tensor drawn = maker.values({12});
  double sum = 0;
  for (std::int64_t i = 0; i < 6; ++i) {
    const double a = 1 + drawn.cast(DType::float64).at(i), w = drawn.cast(DType::float64).at(6 + i);
    input.mutable_values<double>()[static_cast<std::size_t>(i)] = a;
    weight.mutable_values<double>()[static_cast<std::size_t>(i)] = i < 5 ? w : (left - sum) / a;
    sum += w * a;
  }
  const Expr z = graph.apply(
      op("dense"), {x, graph.constant(weight.cast(dtype)), graph.constant(Tensor::full(dtype, {1}, bias))});
  const bool rows = function.ends_with("softmax");
  const Expr y =
      rows ? graph.apply(op(function),
                         {graph.apply(op("concat"), {z, graph.apply(op("mul"), {z, graph.scalar(-1)})},
                                      AxisAttributes{1})},
                         AxisAttributes{1})
           : graph.apply(op(function), {z});
  const Inputs inputs{{"x", input.cast(dtype)}};
  return explain("deeplift.rescale:baseline=0", question_for(y, {x}, fixed_target(graph, 0)), inputs)
      .cast(DType::float64);
}

}  // namespace

TEST_CASE("DeepLIFT of what cancels is that of float64, not the quotient of two roundings") {
  for (const std::string function :
       {"sigmoid", "tanh", "gelu", "softplus", "silu", "mish", "softmax", "log_softmax", "relu"})
    for (const double left : {0.0, 1e-7, 1e-5, 1e-3, 0.1})
      for (const double bias : {0.0, 0.3, -2.0})
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
          INFO(function, " of ", bias, " + ", left, ", ", seed);
          const Tensor narrow = of_cancelled_unit(function, left, bias, DType::float32, seed);
          const Tensor wide = of_cancelled_unit(function, left, bias, DType::float64, seed);
          // Kinks are on either side.
          if (function == "relu" && bias == 0) continue;
          CHECK(distance(narrow, wide) < 2e-3);
        }
}

TEST_CASE(
    "DeepLIFT through a norm of which the baseline has nothing is bounded, and sums to the difference") {
  // x = y c where only one run has a size c: the formula of rules/deeplift.rules with y' = 0 and c' = 0, in plain loops.
  constexpr std::size_t n = 5;
  const double w[n] = {0.7, -1.1, 0.4, 0.9, -0.3}, x[n] = {1.2, -0.4, 0.05, -2.1, 0.8};
  const auto map = [&](const char* name, const Attributes& attributes) {
    Graph graph;
    const Expr in = graph.input("x", {DType::float32, Shape{B, n}});
    const Expr y =
        graph.make(op(name),
                   name == std::string("layer_norm") ? std::vector<Expr>{in, graph.scalar(1), graph.scalar(0)}
                                                     : std::vector<Expr>{in},
                   attributes);
    const Expr scores =
        dense(y, graph.constant(Tensor({1, n}, std::span<const double>(w)).cast(DType::float32)));
    return explain("deeplift.rescale", question_for(scores, {in}, fixed_target(graph, 0)),
                   {{"x", Tensor({1, n}, std::span<const double>(x)).cast(DType::float32)}});
  };
  const auto agree = [&](const Tensor& found, const std::vector<double>& multiplier, double difference) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(found.at(static_cast<std::int64_t>(i)) == doctest::Approx(multiplier[i] * x[i]).epsilon(1e-4));
      sum += found.at(static_cast<std::int64_t>(i));
    }
    CHECK(sum == doctest::Approx(difference).epsilon(1e-5));
  };
  for (const int p : {1, 2})
    for (const double least : {0.0, 1e-12}) {
      INFO("p ", p, ", least ", least);
      double size = 0, score = 0;
      for (const double value : x) size += p == 1 ? std::abs(value) : value * value;
      if (p == 2) size = std::sqrt(size);
      for (std::size_t i = 0; i < n; ++i) score += w[i] * x[i] / size;
      std::vector<double> multiplier;
      for (std::size_t i = 0; i < n; ++i) {
        const double change = p == 1 ? (x[i] > 0 ? 1 : -1) : x[i] / size;
        multiplier.push_back((2 * w[i] - change * score) / size);
      }
      agree(map("lp_normalize", LpNormalizeAttributes{-1, p, 0, least}), multiplier, score);
    }
  double mean = 0, square = 0, score = 0;
  for (const double value : x) mean += value / n;
  for (const double value : x) square += (value - mean) * (value - mean) / n;
  const double size = std::sqrt(square);
  for (std::size_t i = 0; i < n; ++i) score += w[i] * (x[i] - mean) / size;
  std::vector<double> multiplier;
  double centre = 0;
  for (std::size_t i = 0; i < n; ++i) {
    multiplier.push_back((2 * w[i] - (x[i] - mean) / size * score / n) / size);
    centre += multiplier.back() / n;
  }
  for (double& value : multiplier) value -= centre;
  agree(map("layer_norm", LayerNormAttributes{-1, 1e-12}), multiplier, score);
}
