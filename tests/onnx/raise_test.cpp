// What exporters take apart is put together when a model is loaded, and nothing else is touched.
#include "onnx/raise.hpp"

#include <algorithm>
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
  const std::vector<std::string> operators{"silu", "gelu",      "gelu",        "",     "",
                                           "",     "hardswish", "hardsigmoid", "relu", "softplus"};
  for (const DType dtype : {DType::float32, DType::float64})
    for (std::size_t function = 0; function < Speller::functions; ++function)
      for (std::uint64_t seed = 1; seed < 40; ++seed) {
        CAPTURE(function);
        CAPTURE(seed);
        Graph graph(dtype);
        const Expr x = graph.input("x", {dtype, Shape{B, 5}});
        Speller spell(seed);
        const Expr y = spell.function(function, x), whole = raised(y);
        if (!operators[function].empty())
          CHECK(operators_below(whole) == std::set<std::string>{operators[function]});
        const Tensor at = waves({3, 5}).cast(dtype);
        const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", at}});
        CHECK(distance(values[1].cast(DType::float64), values[0].cast(DType::float64)) < 1e-6);
      }
}

TEST_CASE("every spelling of layer norm and softmax becomes its operator") {
  for (std::uint64_t seed = 1; seed < 60; ++seed) {
    CAPTURE(seed);
    Graph graph(DType::float64);
    const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}});
    Speller spell(seed);
    const Expr w = graph.constant(waves({5})), b = graph.constant(waves({5}));
    for (const auto& [y, name] :
         {std::pair(spell.layer_norm(x, w, b, 1e-5), "layer_norm"), std::pair(spell.softmax(x), "softmax")}) {
      const Expr whole = raised(y);
      CHECK(operators_below(whole) == std::set<std::string>{name});
      const auto values = evaluate(std::vector<Expr>{y, whole}, {{"x", waves({2, 3, 5})}});
      CHECK(distance(values[1], values[0]) < 1e-6);
    }
  }
}

TEST_CASE("what is no operator stays as it was written, name by name") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
  const Expr norm = x / sqrt(sum(x * x, {1}, true) + 1e-6);
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
