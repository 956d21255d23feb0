// What is inferred of values, what the simplifier makes of it, and how many contractions are left.
#include "rulegrad/passes/simplify.hpp"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <map>
#include <optional>

#include "rulegrad/check/check.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "passes/intervals.hpp"
#include "passes/simplifier_rules.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

Tensor random_tensor(const Dims& dims, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Tensor x(DType::float64, dims);
  for (double& value : x.mutable_values<double>()) value = normal(random);
  return x;
}

Tensor weights(Dims dims, std::uint64_t seed) {
  const double fan_in = static_cast<double>(element_count(dims)) / static_cast<double>(dims[0]);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(std::sqrt(2 / fan_in)));
  Tensor w(DType::float32, std::move(dims));
  for (float& value : w.mutable_values<float>()) value = normal(random);
  return w;
}

/// VGG-16 with a sixteenth of the channels, on 32 x 32: thirteen convolutions, five poolings, three dense
/// layers.
Expr small_vgg16(Graph& graph) {
  Expr h = graph.input("x", {DType::float32, Shape{B, 3, 32, 32}});
  std::int64_t channels = 3;
  std::uint64_t seed = 0;
  for (const std::vector<std::int64_t>& block :
       {std::vector<std::int64_t>{4, 4}, {8, 8}, {16, 16, 16}, {32, 32, 32}, {32, 32, 32}}) {
    for (const std::int64_t width : block) {
      h = graph.apply(op("conv"),
                      {h, graph.constant(weights({width, channels, 3, 3}, ++seed)),
                       graph.constant(weights({width}, ++seed))},
                      ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
      h = graph.apply(op("relu"), {h});
      channels = width;
    }
    h = graph.apply(op("max_pool"), {h}, PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}});
  }
  h = graph.apply(op("reshape"), {h}, ShapeAttributes{Shape{B, 32}});
  std::int64_t features = 32;
  for (const std::int64_t width : {64, 64, 10}) {
    h = graph.apply(op("dense"), {h, graph.constant(weights({width, features}, ++seed)),
                                  graph.constant(weights({width}, ++seed))});
    if (width != 10) h = graph.apply(op("relu"), {h});
    features = width;
  }
  return h;
}

/// u(x, a) + u(x, b) for each contraction that has such a rule, and the name of what is left.
std::vector<std::pair<Expr, std::string>> sums_of_two(Graph& graph) {
  const DType dtype = graph.real();
  const auto constant = [&](Dims dims, std::uint64_t seed) {
    return graph.constant(random_tensor(dims, seed).cast(dtype));
  };
  const Expr image = graph.input("image", {dtype, Shape{B, 2, 5, 5}}),
             row = graph.input("row", {dtype, Shape{B, 4}});
  const ConvAttributes same{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  const auto conv = [&](std::uint64_t seed) {
    return graph.apply(op("conv"), {image, constant({2, 2, 3, 3}, seed), constant({2}, seed + 1)}, same);
  };
  const auto back = [&](std::uint64_t seed) {
    return graph.apply(op("conv_transpose"), {image, constant({2, 2, 3, 3}, seed), graph.scalar(0)},
                       ConvTransposeAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, {5, 5}});
  };
  const auto layer = [&](std::uint64_t seed) { return dense(row, constant({3, 4}, seed)); };
  return {{conv(1) + conv(3), "conv"},
          {back(5) + back(7), "conv_transpose"},
          {layer(9) + layer(11), "dense"},
          {(layer(13) + layer(15)) + layer(17), "dense"}};
}

bool same_but_for_signs_of_zeros(const Tensor& a, const Tensor& b) {
  if (a.dims() != b.dims()) return false;
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (!(a.at(i) == b.at(i))) return false;
  return true;
}

/// Windows that overlap and reach into padding.
const PoolAttributes overlapping{{3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false};

/// A ReLU before pooling, and its mask behind the adjoint; and what they become.
std::vector<std::pair<Expr, Expr>> around_pooling(Graph& graph) {
  const Expr z = graph.input("z", {DType::float64, Shape{B, 3, 9, 8}}),
             g = graph.input("g", {DType::float64, Shape{B, 3, 5, 4}}), zero = graph.scalar(0);
  const auto pool = [&](Expr of) { return graph.make(op("max_pool"), {of}, overlapping); };
  const auto back = [&](Expr x, Expr of) { return graph.make(op("max_pool_vjp"), {x, of}, overlapping); };
  const auto masked = [&](Expr by, Expr of) {
    return graph.make(op("where"), {graph.make(op("greater"), {by, zero}), of, zero});
  };
  return {{pool(relu(z)), relu(pool(z))}, {masked(z, back(relu(z), g)), back(z, masked(pool(z), g))}};
}

}  // namespace

TEST_CASE(
    "a ReLU and its mask stand behind max-pooling where nothing else reads them: the same bits, a quarter of "
    "the values") {
  Graph graph(DType::float64);
  const auto cases = around_pooling(graph);
  for (const auto& [before, after] : cases) {
    INFO(describe(before));
    CHECK(simplify(std::span(&before, 1)).outputs[0] == after);
    for (unsigned seed = 0; seed < 20; ++seed) {
      Tensor z = random_tensor({2, 3, 9, 8}, seed);
      for (double& value : z.mutable_values<double>())
        value = std::round(3 * value);  // many ties, and windows of nothing but zeros
      const Inputs inputs{{"z", z}, {"g", random_tensor({2, 3, 5, 4}, seed + 100)}};
      const auto value = [&](Expr of) {
        return Program::compile(std::span(&of, 1), {.simplify = false}).run(inputs).at(0);
      };
      CHECK(same_but_for_signs_of_zeros(value(before), value(after)));
    }
  }
  // Read by something else, a ReLU would be computed twice.
  const Expr pooled = cases[0].first;
  const std::vector<Expr> both{pooled, pooled.operand(0)};
  CHECK(simplify(both).outputs[0] == pooled);
  // The gradient of a network uses both rules: no ReLU, and no mask, has the extents before a pooling.
  Graph network;
  const Expr y = small_vgg16(network);
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("gradient"),
                                    question_for(y, {network.inputs()[0]}));
  const Simplified simple = simplify(analysis.attributions);
  std::size_t pools = 0;
  for (const Expr e : topological_order(simple.outputs)) {
    if (!e.is("max_pool") && !e.is("max_pool_vjp")) continue;
    ++pools;
    CHECK_FALSE(e.operand(0).is("relu"));
  }
  CHECK(pools == 10);
}

TEST_CASE(
    "contractions of VGG-16 that are left: one forward, and per layer what the rule needs behind a ReLU") {
  Graph graph;
  const Expr y = small_vgg16(graph);
  const Question question = question_for(y, {graph.inputs()[0]});
  const auto count = [&](const std::string& method, bool simple) {
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
    return Program::compile(analysis.attributions, {.simplify = simple}).stats({}).contractions;
  };
  // From the second of sixteen layers on: 1 forward + 1 modified + 1 transposed; the first sees inputs of any
  // sign.
  CHECK(count("lrp.z_plus", true) == 15 * 3 + 5);
  CHECK(count("lrp.z_plus", false) > 15 * 4);
  CHECK(count("lrp.gamma", true) == 16 * 3);
  CHECK(count("lrp.alpha_2_beta_1", true) == 15 * 5 + 9);
  // The logits have no ReLU behind them: there the other half is kept.
  CHECK(count("lrp.generalized_gamma", true) == 14 * 3 + 5 + 5);
  CHECK(count("lrp.epsilon_gamma_box", true) <= 16 * 3 + 3);
}

TEST_CASE("simplified programs give the same bits, method by method") {
  Graph graph;
  const Expr y = small_vgg16(graph);
  const Question question = question_for(y, {graph.inputs()[0]});
  const Tensor x = random_tensor({2, 3, 32, 32}, 7).cast(DType::float32);
  for (const char* method :
       {"gradient", "guided_backprop", "lrp.z_plus", "lrp.gamma", "lrp.generalized_gamma",
        "lrp.alpha_2_beta_1", "lrp.epsilon_plus_flat", "lrp.epsilon_gamma_box", "zennit.epsilon_gamma_box",
        "zennit.epsilon_alpha2_beta1_flat", "deep_taylor", "innvestigate.lrp.alpha_2_beta_1", "captum.lrp",
        "deeplift.rescale", "excitation_backprop", "rectgrad"}) {
    INFO(method);
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
    const Tensor plain = Program::compile(analysis.attributions, {.simplify = false}).run({{"x", x}}).at(0);
    const Tensor simple = Program::compile(analysis.attributions, {.simplify = true}).run({{"x", x}}).at(0);
    CHECK(same_but_for_signs_of_zeros(plain, simple));
  }
}

TEST_CASE(
    "every inferred interval holds for every value of random networks and of what methods make of them") {
  std::size_t bounded = 0, values = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    INFO("seed ", seed);
    Graph graph(seed % 2 == 0 ? DType::float64 : DType::float32);
    NetworkMaker maker(graph, seed, {});
    const Network net = seed % 3 == 0 ? maker.mlp() : maker.cnn();
    std::vector<Expr> outputs{net.output};
    for (const char* method : {"lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.generalized_gamma",
                               "guided_backprop:allow_unmatched=1", "deeplift.rescale"})
      outputs.push_back(analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                                question_for(net.output, {net.input}, fixed_target(graph, 0)))
                            .attributions[0]);
    const std::vector<Expr> all = topological_order(outputs);
    const Tensor x = random_tensor(net.input_dims, seed).cast(graph.real());
    const std::vector<Tensor> results = Program::compile(all, {.simplify = false}).run({{"x", x}});
    Intervals intervals;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Interval interval = intervals.of(all[i]);
      bounded += interval == Interval{} ? 0 : 1;
      bool inside = true;
      for (std::int64_t k = 0; k < results[i].size(); ++k)
        inside = inside && interval.contains(results[i].at(k));
      CHECK_MESSAGE(inside, describe(all[i]), " leaves [", interval.low, ", ", interval.high, "]");
      ++values;
    }
    const std::vector<Tensor> plain = Program::compile(outputs, {.simplify = false}).run({{"x", x}});
    const std::vector<Tensor> simple = Program::compile(outputs).run({{"x", x}});
    for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(same_but_for_signs_of_zeros(plain[i], simple[i]));
  }
  CHECK(values > 2000);
  CHECK(bounded * 3 > values);  // a fact that never says anything cannot be wrong
}

TEST_CASE("what is known of values: signs through layers, comparisons, and nothing where nothing is") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr w = graph.constant(Tensor::full(DType::float64, {3, 4}, -0.5)), zero = graph.scalar(0);
  const Expr r = relu(x);
  Intervals intervals;
  CHECK(intervals.of(x) == Interval{});
  CHECK(intervals.of(r) == Interval{0, infinite});
  CHECK(intervals.of(min(r, zero)) == Interval{0, 0});
  CHECK(intervals.of(dense(r, w)) == Interval{-infinite, 0});
  CHECK(intervals.of(dense(x, w)) == Interval{});
  CHECK(intervals.of(x * x) == Interval{0, infinite});
  CHECK(intervals.of(sigmoid(x)) == Interval{0, 1, true});
  CHECK(intervals.of(graph.apply(op("less"), {r, zero})) == Interval{0, 0});
  CHECK(intervals.of(graph.apply(op("greater"), {r, zero})) == Interval{0, 1});  // never strict: r may be 0
  CHECK(intervals.of(graph.apply(op("where"), {graph.apply(op("less"), {r, zero}), x, r})) ==
        Interval{0, infinite});
}

TEST_CASE(
    "relevance with a ReLU's output as a factor vanishes where its input is negative, through pooling and "
    "reshapes, but not past a sum") {
  Graph graph(DType::float64);
  const Expr z = graph.input("z", {DType::float64, Shape{B, 2, 4, 4}}),
             s = graph.input("s", {DType::float64, Shape{B, 2, 4, 4}});
  const Expr t = graph.input("t", {DType::float64, Shape{B, 2, 2, 2}}),
             flat = graph.input("f", {DType::float64, Shape{B, 32}});
  const Expr zero = graph.scalar(0), r = relu(z);
  const PoolAttributes windows{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}};
  const auto below = [&](Expr relevance) {
    return graph.apply(op("where"), {graph.apply(op("less"), {z, zero}), relevance, zero});
  };
  const auto left = [&](Expr e) { return simplify(std::span(&e, 1)).outputs[0]; };
  const auto vanishes = [&](Expr relevance) { return left(below(relevance)).is("fill"); };
  CHECK(vanishes(r * s));
  CHECK(vanishes(r * s / graph.apply(op("stabilize"), {s, graph.scalar(1e-6)})));
  const Expr pooled = graph.apply(op("max_pool"), {r}, windows);
  CHECK(vanishes(graph.apply(op("max_pool_vjp"), {r, pooled * t}, windows)));
  const Expr row = graph.apply(op("reshape"), {r}, ShapeAttributes{Shape{B, 32}});
  CHECK(vanishes(graph.apply(op("reshape"), {row * flat}, ShapeAttributes{Shape{B, 2, 4, 4}})));
  CHECK(vanishes(graph.apply(op("accum"), {r * s, r * z})));
  CHECK_FALSE(vanishes(s));
  CHECK_FALSE(vanishes(graph.apply(op("accum"), {r * s, s})));
  CHECK_FALSE(vanishes((z + s) * s));
  CHECK_FALSE(vanishes(relu(z + s) * s));
  CHECK_FALSE(vanishes(graph.apply(op("max_pool_vjp"), {r, t}, windows)));
}

TEST_CASE("each rule of the simplifier applies somewhere, and what it leaves is what it was") {
  const RuleFile file = [] {
    const auto& [path, text] = simplifier_rules()[0];
    return parse_rules(text, std::string(path));
  }();
  // Nothing but its own words is found wrong with it.
  for (const Diagnostic& finding : check(file, RuleLibrary::builtin().check_context()))
    if (finding.severity == Severity::error) CHECK(finding.code == "R234");

  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}}), zero = graph.scalar(0),
             one = graph.scalar(1);
  const Expr r = relu(x), nothing = min(r, zero);
  const auto make = [&](const char* name, std::vector<Expr> operands) {
    return graph.make(op(name), std::move(operands));
  };
  std::vector<std::pair<Expr, Expr>> cases{
      {make("relu", {r}), r},
      {make("max", {r, zero}), r},
      {make("max", {zero, r}), r},
      {make("min", {-r, zero}), -r},
      {make("min", {zero, -r}), -r},
      {make("abs", {r}), r},
      {make("abs", {-r}), r},
      {make("add", {x, nothing}), x},
      {make("add", {nothing, x}), x},
      {make("sub", {x, nothing}), x},
      {make("where", {make("greater_equal", {r, zero}), x, r}), x},
      {make("where", {make("less", {r, zero}), x, r}), r},
  };
  const auto poolings = around_pooling(graph);
  cases.insert(cases.end(), poolings.begin(), poolings.end());
  std::map<int, int> used;
  for (const auto& [before, after] : cases) {
    INFO(describe(before));
    const Simplified simple = simplify(std::span(&before, 1));
    CHECK(simple.outputs[0] == after);
    for (const ForwardRewrite& rewrite : simple.rewrites) {
      ++used[rewrite.where.line];
      CHECK(rewrite.rule_set == "simplify.exact");
    }
  }
  const Expr cut = graph.apply(op("where"), {graph.apply(op("less"), {x, zero}), r * x, zero}),
             cut_too = graph.apply(op("where"), {graph.apply(op("less_equal"), {x, zero}), r * x, zero});
  for (const Expr e : {cut, cut_too, make("mul", {nothing, one + x})}) {
    const Simplified simple = simplify(std::span(&e, 1));
    CHECK(simple.outputs[0].is("fill"));
    for (const ForwardRewrite& rewrite : simple.rewrites) ++used[rewrite.where.line];
  }
  for (const auto& [before, after] : sums_of_two(graph)) {
    const Simplified simple = simplify(std::span(&before, 1));
    CHECK(simple.outputs[0].op().name == after);
    for (const ForwardRewrite& rewrite : simple.rewrites) {
      ++used[rewrite.where.line];
      CHECK(rewrite.rule_set == "simplify.rounding");
    }
    CHECK(simplify(std::span(&before, 1), false).outputs[0] == before);
  }
  for (const RuleSet& set : file.rule_sets)
    for (const Rule& rule : set.rules)
      CHECK_MESSAGE(used[rule.where.line] > 0, "line ", rule.where.line, " was never used");
}

TEST_CASE(
    "a sum of two contractions becomes one where nothing hangs on it, neither is needed elsewhere, and the "
    "weights are constants") {
  Graph graph(DType::float64);
  for (const auto& [sum, name] : sums_of_two(graph)) {
    INFO(name);
    const auto contractions = [&](Expr e, bool rounding = true) {
      return Program::compile(std::span(&e, 1), {.rounding = rounding}).stats({}).contractions;
    };
    const Expr zero = graph.scalar(0);
    CHECK(contractions(sum) == 1);
    CHECK(contractions(sum, false) >= 2);
    CHECK(contractions(sum * 2) == 1);
    for (const Expr decided :
         {graph.make(op("sign"), {sum}), graph.make(op("stabilize"), {sum * 2, graph.scalar(1)}),
          graph.make(op("greater"), {sum, zero}),
          graph.make(op("where"), {graph.make(op("less"), {sum, zero}), sum, zero})})
      CHECK(contractions(decided) >= 2);
    CHECK(contractions(sum * sum.operand(0)) >= 2);
    const Inputs inputs{{"image", random_tensor({2, 2, 5, 5}, 1)}, {"row", random_tensor({2, 4}, 2)}};
    const Tensor apart = Program::compile(std::span(&sum, 1), {.rounding = false}).run(inputs)[0],
                 together = Program::compile(std::span(&sum, 1)).run(inputs)[0];
    CHECK(distance(together, apart) < 1e-14);
  }
  // Another input, other windows, weights that are no constants.
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}}),
             w = graph.input("w", {DType::float64, Shape{3, 4}});
  const Expr a = graph.constant(random_tensor({3, 4}, 3)), b = graph.constant(random_tensor({3, 4}, 4));
  for (const Expr sum : {dense(x, a) + dense(relu(x), b), dense(x, a) + dense(x, w)})
    CHECK(simplify(std::span(&sum, 1)).outputs[0] == sum);
}

TEST_CASE(
    "no method that ships holds a sum that rounds otherwise when it becomes one contraction: --exact changes "
    "none of them") {
  Graph graph;
  const Expr y = small_vgg16(graph);
  std::size_t methods = 0;
  for (const std::string& name : RuleLibrary::builtin().analyzer_names()) {
    INFO(name);
    std::optional<Analysis> analysis;
    try {
      analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(name),
                         question_for(y, {graph.inputs()[0]}, fixed_target(graph, 0)));
    } catch (const Error&) {
      continue;  // it wants arguments or arrays of its own
    }
    ++methods;
    for (const ForwardRewrite& rewrite : simplify(analysis->attributions).rewrites)
      CHECK(rewrite.rule_set == "simplify.exact");
  }
  CHECK(methods > 60);
}

TEST_CASE("errors of simplified programs still name the layer") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr y =
      dense(graph.make(op("relu"), {relu(x)}), graph.constant(Tensor::full(DType::float32, {1, 2}, 3e38)));
  graph.add_name(y, "last");
  const Tensor large({1, 2}, {2.0f, 2.0f});
  CHECK_THROWS_WITH_AS((void)Program::compile(std::span(&y, 1)).run({{"x", large}}),
                       doctest::Contains("'last'"), Error);
}
