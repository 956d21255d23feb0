// What exporters take apart is put together when a model is loaded, and nothing else is touched.
#include "onnx/raise.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>

#include "rulegrad/check/check.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "property/spellings.hpp"
#include "recipe/recipe_helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

std::set<std::string> operators_below(Expr y) {
  std::set<std::string> names;
  for (const Expr node : topological_order(std::span(&y, 1)))
    if (!node.operands().empty()) names.insert(node.op().name);
  return names;
}

Expr raised(Expr y) {
  return io::raise(std::span(&y, 1)).outputs[0];
}

Tensor waves(Dims dims) {
  Tensor value(DType::float64, dims);
  double at = 0;
  for (double& element : value.mutable_values<double>()) element = 3 * std::sin(at += 0.7);
  return value;
}

}  // namespace

TEST_CASE("the raising rules pass the checker") {
  for (const auto& [path, text] : raising_rules()) {
    const RuleFile file = parse_rules(text, std::string(path));
    for (const Diagnostic& finding : check(file, RuleLibrary::builtin().check_context())) {
      CAPTURE(finding.message);
      CAPTURE(finding.where.line);
      CHECK(finding.severity != Severity::error);
    }
  }
}

TEST_CASE(
    "every spelling of an activation becomes its operator, with the same values, in float32 and float64") {
  const std::vector<std::string> operators{"silu",       "gelu",      "gelu",        "mish", "softsign",
                                           "quick_gelu", "hardswish", "hardsigmoid", "relu", "softplus"};
  for (const DType dtype : {DType::float32, DType::float64})
    for (std::size_t function = 0; function < Speller::functions; ++function)
      for (std::uint64_t seed = 1; seed < 40; ++seed) {
        CAPTURE(function);
        CAPTURE(seed);
        Graph graph(dtype);
        const Expr x = graph.input("x", {dtype, Shape{B, 5}});
        Speller spell(seed);
        const Expr y = spell.function(function, x), whole = raised(y);
        CHECK(operators_below(whole) == std::set<std::string>{operators[function]});
        const Tensor at = waves({3, 5}).cast(dtype);
        const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", at}});
        CHECK(distance(values[1].cast(DType::float64), values[0].cast(DType::float64)) < 1e-6);
      }
}

TEST_CASE("every spelling of a normalisation, of softmax and of ReLU6 becomes its operator") {
  for (std::uint64_t seed = 1; seed < 60; ++seed) {
    CAPTURE(seed);
    Graph graph(DType::float64);
    const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}});
    Speller spell(seed);
    const Expr w = graph.constant(waves({5})), b = graph.constant(waves({5}));
    for (const auto& [y, name] :
         {std::pair(spell.layer_norm(x, w, b, 1e-5), "layer_norm"), std::pair(spell.softmax(x), "softmax"),
          std::pair(spell.log_softmax(x), "log_softmax"), std::pair(spell.rms_norm(x, w, 1e-5), "rms_norm"),
          std::pair(spell.unit_vector(x), "lp_normalize"),
          std::pair(spell.bounded_vector(x, 2.5), "lp_normalize"),
          std::pair(spell.shares(x, 0), "lp_normalize"), std::pair(spell.shares(x, 5.5), "lp_normalize"),
          std::pair(spell.clipped(x, 0, 6), "clip")}) {
      CAPTURE(name);
      const Expr whole = raised(y);
      CHECK(operators_below(whole) == std::set<std::string>{name});
      const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", waves({2, 3, 5})}});
      CHECK(distance(values[1], values[0]) < 1e-6);
    }
  }
}

TEST_CASE("group and instance norm are layer norms of a reshaped value, a factor and a shift") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4, 2, 3}});
  const Expr w = graph.constant(waves({4, 1, 1})), b = graph.constant(waves({4, 1, 1}));
  for (const bool moments : {false, true}) {
    const auto normal = [&](Expr v, const Ints& axes) {
      const Expr m = mean(v, axes, true), d = v - m;
      const Expr variance = moments ? mean(v * v, axes, true) - m * m : mean(d * d, axes, true);
      return d / sqrt(variance + 1e-5);
    };
    const Expr instance = normal(x, {2, 3}) * w + b;
    const Expr group = reshape(normal(reshape(x, Shape{B, 2, 12}), {2}), x.shape()) * w + b;
    const std::set<std::string> of_instance{"layer_norm", "mul", "add"};
    std::set<std::string> of_group = of_instance;
    of_group.insert("reshape");
    CHECK(operators_below(raised(instance)) == of_instance);
    CHECK(operators_below(raised(group)) == of_group);
    for (const Expr y : {instance, group}) {
      const auto values = evaluate(std::vector<Expr>{y, raised(y)}, {{"x", waves({2, 4, 2, 3})}});
      CHECK(distance(values[1], values[0]) < 1e-9);
    }
  }
}

TEST_CASE("a norm is raised over the axes that it says, and of the value that it divides alone") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}}), other = relu(x);
  const auto unit = [](Expr v, std::int64_t axis) { return v / sqrt(sum(v * v, {axis}, true)); };
  const Expr first = raised(unit(x, 1));
  REQUIRE(first.is("lp_normalize"));
  CHECK(first.attributes<LpNormalizeAttributes>().axis == 1);
  for (const Expr y :
       {x / sqrt(mean(other * other, {2}, true) + 1e-6), x / sqrt(mean(x * x, {1}, true) + 1e-6),
        x / (sqrt(sum(x * x, {2}, true)) + 1e-6), x / sqrt(sum(x * x, {1, 2}, true))})
    CHECK(raised(y) == y);
}

TEST_CASE("norms are raised with any bound and any number added, and 0 of them is 0") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}}), s = sum(x * x, {2}, true);
  for (const double number : {-0.5, 1e-12, 4.0})
    for (const Expr y : {x / max(sqrt(s), number), x / sqrt(max(s, number)), x / sqrt(s + std::abs(number)),
                         x / max(sum(abs(x), {2}, true), number)}) {
      CAPTURE(number);
      const Expr whole = raised(y);
      REQUIRE(whole.is("lp_normalize"));
      Tensor at = waves({2, 3, 5});
      const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", at}});
      CHECK(distance(values[1], values[0]) < 1e-12);
      std::fill_n(at.mutable_values<double>().begin(), 5, 0);
      CHECK(evaluate(std::vector<Expr>{whole}, {{"x", at}})[0].at(0) == 0);
    }
}

TEST_CASE("every rule that raises is proved: what it replaces has the same value on random inputs") {
  std::set<std::uint32_t> proved;
  double furthest = 0;
  const auto prove = [&](Expr y, const Tensor& at) {
    const io::Raised whole = io::raise(std::span(&y, 1));
    for (const auto& rewrites : {whole.rewrites, whole.steps})
      for (const ForwardRewrite& rewrite : rewrites) {
        const auto values = evaluate(std::vector<Expr>{rewrite.before, rewrite.after}, {{"x", at}});
        const double off = distance(values[1], values[0]);
        CAPTURE(rewrite.where.line);
        CHECK(off < 1e-6);  // what rounding a constant to float32 changes
        furthest = std::max(furthest, off);
        proved.insert(static_cast<std::uint32_t>(rewrite.where.line));
      }
  };
  for (std::uint64_t seed = 1; seed < 60; ++seed) {
    Graph graph(DType::float64);
    Speller spell(seed);
    const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}});
    const Expr w = graph.constant(waves({5})), b = graph.constant(waves({5})),
               mixing = graph.constant(waves({3, 3}));
    std::vector<Expr> spelt{spell.shares(x, 0),
                            spell.shares(x, 5.5),
                            spell.layer_norm(x, w, b, 1e-5),
                            spell.rms_norm(x, w, 1e-5),
                            spell.softmax(x),
                            spell.log_softmax(x),
                            spell.unit_vector(x),
                            spell.bounded_vector(x, 2.5),
                            spell.clipped(x, 0, 6),
                            spell.sigmoid(x),
                            spell.other_gate(x)};
    for (std::size_t function = 0; function < Speller::functions; ++function)
      spelt.push_back(spell.function(function, x));
    // What no speller writes.
    const Expr e = exp(x), f = exp(-x), s = sum(x * x, {2}, true);
    const auto apply = [](const char* name, std::vector<Expr> operands) {
      Graph& own = operands[0].graph();
      return own.apply(op(name), std::move(operands));
    };
    spelt.insert(spelt.end(),
                 {(e - f) / (e + f), matmul(mixing, x), x / sqrt(s), w / sqrt(relu(x) + 1.0),
                  matmul(mixing, reshape(x, Shape{B, 1, 3, 5})), exp(log_softmax(x, 2)),
                  min(max(x / 5.0 + 0.5, 0.0), 1.0), 1.0 / sqrt(s + 1.0), e * (1.0 / sum(e, {2}, true)),
                  e * apply("reciprocal", {sum(e, {2}, true)}),
                  apply("reciprocal", {apply("pow", {s + 1.0, x.graph().scalar(0.5, DType::float64)})}),
                  1.0 / apply("pow", {s + 1.0, x.graph().scalar(0.5, DType::float64)})});
    for (const Expr y : spelt) prove(y, waves({2, 3, 5}));
  }
  MESSAGE("the furthest of ", proved.size(), " rules is ", furthest, " off");
  for (const auto& [path, text] : raising_rules())
    for (const RuleSet& set : parse_rules(text, std::string(path)).rule_sets)
      for (const Rule& rule : set.rules) {
        CAPTURE(set.name);
        CAPTURE(rule.where.line);
        CHECK(proved.contains(static_cast<std::uint32_t>(rule.where.line)));
      }
}

TEST_CASE(
    "numbers that keep a divisor or a logarithm off 0 are no part of a function that they hardly change") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
  const auto apply = [&](const char* name, Expr v) { return graph.apply(op(name), {v}); };
  const Expr written = 1.0 / (1.0 + exp(-x));
  const Tensor at({2, 5}, {-80.0, -30.0, -1.0, -1e-9, 0.0, 1e-13, 1e-6, 1.0, 30.0, 80.0});
  for (const Expr guarded :
       {max(x, 1e-12), max(relu(x), 1e-12), relu(x) + 1e-10, apply("sigmoid", x) + 1e-8, written + 1e-8,
        max(written, 1e-7), min(max(apply("sigmoid", x), 1e-20), 1.0), apply("softplus", x) + 1e-9}) {
    const Expr y = log(guarded), whole = raised(y);
    const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", at}});
    CHECK(distance(values[1], values[0]) < 1e-9);
  }
  CHECK(operators_below(raised(written + 1e-8)) == std::set<std::string>{"sigmoid", "add"});
  // A function that is written around itself is found all the same.
  CHECK(operators_below(raised(max(max(x, 0.0), 0.0))) == std::set<std::string>{"relu"});
}

TEST_CASE("what is no operator stays as it was written, name by name") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
  const Expr norm = x / (sqrt(sum(x * x, {1}, true)) + 1e-6);
  graph.add_name(norm, "norm");
  const Expr other = x * graph.apply(op("sigmoid"), {x * 2.0}) + sqrt(x * x + 1.0);
  const Expr y = norm + other;
  CHECK(raised(y) == y);
  const Expr silu = x * sigmoid(x);
  graph.add_name(silu, "swish");
  const Expr whole = raised(dense(silu, graph.constant(waves({2, 5}))));
  CHECK(whole.operand(0).is("silu"));
  CHECK(graph.names(whole.operand(0)) == std::vector<std::string>{"swish"});
}

TEST_CASE("ONNX's own expansions of layer and group norm are layer norms again") {
  const auto data = shared_data();
  if (!data || !std::filesystem::is_directory(*data / "onnx_backend/node")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  for (const char* test :
       {"test_layer_normalization_2d_axis1_expanded", "test_layer_normalization_3d_axis2_epsilon_expanded",
        "test_layer_normalization_4d_axis1_expanded", "test_group_normalization_example_expanded",
        "test_group_normalization_epsilon_expanded", "test_instancenorm_example",
        "test_group_normalization_example"}) {
    CAPTURE(test);
    const Model model = load_onnx((*data / "onnx_backend/node" / test / "model.onnx").string());
    const std::set<std::string> names = operators_below(model.outputs()[0].expr);
    CHECK(names.contains("layer_norm"));
    CHECK(!names.contains("sqrt"));
  }
}

TEST_CASE("LRP explains every activation that exporters take apart") {
  const auto data = shared_data();
  if (!data || !std::filesystem::is_directory(*data / "field/decomposed_activation_lrp")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const auto folder = *data / "field/decomposed_activation_lrp";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  for (const std::string net : {"silu", "gelu", "mish", "softsign", "hardswish", "sigmoid"}) {
    CAPTURE(net);
    const Model model = load_onnx((folder / (net + ".onnx")).string(), {.dtype = DType::float64});
    const Tensor map = explain("lrp.z", question_for(model.head(HeadKind::logit), {model.inputs()[0].expr}),
                               {{model.inputs()[0].name, x}});
    const auto expected = folder / ("expected_" + net + "_lrp_z.npy");
    if (std::filesystem::exists(expected))
      CHECK(distance(map, io::read_npy(expected).cast(DType::float64)) < 1e-6);
  }
  for (const std::string field : {"lrp_erf_gelu", "lrp_silu_gate"}) {
    CAPTURE(field);
    const Model model =
        load_onnx((*data / "field" / field / "model.onnx").string(), {.dtype = DType::float64});
    const Tensor given = io::read_npy(*data / "field" / field / "input.npy").cast(DType::float64);
    const Tensor map =
        explain("lrp.epsilon", question_for(model.head(HeadKind::logit), {model.inputs()[0].expr}),
                {{model.inputs()[0].name, given}});
    bool finite = true;
    for (std::int64_t i = 0; i < map.size(); ++i) finite = finite && std::isfinite(map.at(i));
    CHECK(finite);
  }
}
