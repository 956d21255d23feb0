// What forward rules may ask and say: attributes from constants, lists and shapes compared, what depends on
// the input, and operators found by what their expansion says of attributes.
#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/check/check.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/prove/verify.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "rewrite/bench.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Net {
  Graph graph{DType::float64};
  Draw draw{5};
  Expr x = graph.input("x", {DType::float64, Shape{B, 4, 6}});
};

/// The operators of the canonised network.
std::vector<std::string> operators_of(const RuleLibrary& library, Expr y, Expr x) {
  const Analysis analysis = analyze(library, {"a", {}}, question_about(y, {x}));
  (void)prove_canonizers(y, analysis);
  std::vector<std::string> names;
  for (const Expr node : topological_order(std::span(&analysis.output, 1)))
    if (!node.operands().empty()) names.push_back(node.op().name);
  return names;
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

RuleLibrary with_rule(const std::string& rule) {
  return library_with("rules r { " + rule + " }\nanalyzer a { canonize r  default gradient }\n");
}

}  // namespace

TEST_CASE("an attribute takes the value of a constant, and the rule applies where it is one number") {
  const RuleLibrary library = with_rule("rewrite min(max(x, low), high) => clip(x, low = low, high = high)");
  Net net;
  const Expr y = sum(min(max(net.x, -0.25), 0.5), {1, 2});
  CHECK(has(operators_of(library, reshape(y, Shape{B, 1}), net.x), "clip"));
  const Expr bounds = net.draw.weight(net.graph, {6}, -1, 0);
  const Expr other = sum(min(max(net.x, bounds), 0.5), {1, 2});
  CHECK_FALSE(has(operators_of(library, reshape(other, Shape{B, 1}), net.x), "clip"));
}

TEST_CASE("lists and shapes are compared in guards, and dependence on the input is known") {
  const RuleLibrary library = with_rule(
      "rewrite y: a * b when shape(a) == shape(b) and not depends(b) => exp(log(b)) * a\n"
      "rewrite y: mean(x) when y.axes == [2] and y.keep => sum(x, axes = [2], keep = 1) / dim(x, 2)\n"
      "rewrite y: sum(x) when y.axes != [2] and y.axes == axes_from(x, rank(x) - count(y.axes)) => sum(-x, "
      "..y) * -1");
  Net net;
  const Expr full = net.graph.constant(net.draw.tensor({1, 4, 6}, 0.5, 1));
  const Expr narrow = net.graph.constant(net.draw.tensor({6}, 0.5, 1));
  const auto after = [&](Expr y) {
    return operators_of(library, reshape(sum(y, {1}), Shape{B, y.shape()[2]}), net.x);
  };
  CHECK_FALSE(has(after(net.x * full), "log"));
  CHECK_FALSE(has(after(net.x * narrow), "log"));
  CHECK_FALSE(has(after(net.x * net.x), "log"));
  CHECK(has(after(mean(net.x, {2}, true)), "div"));
  CHECK(has(after(mean(net.x, {1}, true)), "mean"));
  CHECK(has(operators_of(library, reshape(sum(net.x, {1, 2}), Shape{B, 1}), net.x), "neg"));
}

TEST_CASE(
    "a constant that was rounded to float32 matches its number in float64, and the proof allows for it") {
  const RuleLibrary library = with_rule(
      "rewrite y: (x * (erf(x / 1.4142135623730951) + 1)) * 0.5 when shape(x) == shape(y) => gelu(x)");
  for (const double root : {std::sqrt(2.0), 1.4142135381698608}) {
    Net net;
    const Expr gelu = net.x * (net.graph.apply(op("erf"), {net.x / root}) + 1.0) * 0.5;
    CHECK(has(operators_of(library, reshape(sum(gelu, {1, 2}), Shape{B, 1}), net.x), "gelu"));
  }
  Net net;
  const Expr other = net.x * (net.graph.apply(op("erf"), {net.x / 1.4142}) + 1.0) * 0.5;
  CHECK_FALSE(has(operators_of(library, reshape(sum(other, {1, 2}), Shape{B, 1}), net.x), "gelu"));
}

TEST_CASE("an operator whose expansion names attributes is found where they are the same") {
  const RuleLibrary library = library_with(
      "op standard(x, e) = (x - mean(x, axes = [rank(x) - 1], keep = 1)) / sqrt(mean((x - mean(x, axes = "
      "[rank(x) - 1], keep = 1)) ^ 2, axes = [rank(x) - 1], keep = 1) + e)\n"
      "analyzer a { default gradient }\n");
  Net net;
  const auto normalised = [&](Ints axes) {
    const Expr d = net.x - mean(net.x, axes, true);
    const Expr y = d / sqrt(mean(net.graph.apply(op("pow"), {d, net.graph.scalar(2)}), axes, true) + 1e-5);
    return reshape(sum(y * net.graph.constant(Draw(9).tensor({4, 6})), {1, 2}), Shape{B, 1});
  };
  CHECK(has(operators_of(library, normalised({2}), net.x), "standard"));
  CHECK_FALSE(has(operators_of(library, normalised({1}), net.x), "standard"));
}

TEST_CASE("a rewrite of a whole layer norm is checked in a second") {
  const RuleFile file = parse_rules(
      "rulegrad 1\nrules ln {\n  rewrite ((x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + e)) * w + b => "
      "layer_norm(x, w, b, epsilon = e)\n}\n",
      "ln.rules");
  const ThreadTimer timer;
  (void)check(file, RuleLibrary::builtin().check_context());
  // Twenty times what it takes, of processor time.
  CHECK(timer.seconds() < 1);
}
