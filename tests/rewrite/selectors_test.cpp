// Guards and selectors: which nodes each of them means.
#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"
#include "rewrite/forward_facts.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// Names of the nodes whose gradient nodes the rule `marked` closed.
std::vector<std::string> chosen(const std::string& selector, Expr output, std::vector<Expr> explained) {
  const RuleLibrary library = library_with(
      "rules marked {\n  rule marked: grad(y: _, r) wrt v => vjp(y, r)\n}\nanalyzer a {\n  use marked on " +
      selector + "\n  default gradient\n}\n");
  const Analysis analysis = analyze(library, {"a", {}}, question_about(output, std::move(explained)));
  std::vector<std::string> names;
  for (const Step& step : analysis.steps)
    if (step.by->rule == "marked")
      names.push_back(step.node.graph().names(step.node).empty() ? step.node.op().name
                                                                 : step.node.graph().names(step.node)[0]);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Expr named(Expr e, const std::string& name) {
  e.graph().add_name(e, name);
  return e;
}

using Names = std::vector<std::string>;

/// input normalisation, padding, three convolutions, a projection shortcut, flatten, two dense layers.
struct Net {
  Graph graph{DType::float64};
  Draw draw{1};
  Expr x = graph.input("x", {DType::float64, Shape{B, 2, 6, 6}});
  Expr y;
  Net() {
    const Expr normal = named((x - 0.5) / 0.25, "normal");
    const Expr padded = named(
        graph.apply(op("pad"), {normal}, PadAttributes{{0, 0, 1, 1}, {0, 0, 1, 1}, PadMode::reflect, 0}),
        "pad");
    const Expr c1 = named(relu(named(conv(padded, draw.weight(graph, {3, 2, 3, 3})), "conv1")), "relu1");
    const Expr c2 = named(
        relu(named(conv(c1, draw.weight(graph, {3, 3, 3, 3}), 0.0, {{}, {1, 1}, {1, 1}, {}, 1}), "conv2")),
        "relu2");
    const Expr c3 =
        named(conv(c2, draw.weight(graph, {4, 3, 3, 3}), 0.0, {{}, {1, 1}, {1, 1}, {}, 1}), "conv3");
    const Expr shortcut = named(conv(c1, draw.weight(graph, {4, 3, 1, 1})), "project");
    const Expr joined = named(relu(named(c3 + shortcut, "sum")), "relu3");
    const Expr flat = named(flatten(joined), "flatten");
    const Expr hidden = named(relu(named(dense(flat, draw.weight(graph, {5, 144})), "fc1")), "relu4");
    y = named(dense(hidden, draw.weight(graph, {3, 5})), "fc2");
  }
};

}  // namespace

TEST_CASE("selectors on position mean the nodes that the forward graph says") {
  Net net;
  const auto on = [&](const std::string& selector) { return chosen(selector, net.y, {net.x}); };
  CHECK(on("first(affine)") == Names{"conv1"});
  CHECK(on("first(conv or dense)") == Names{"conv1"});
  CHECK(on("first(dense)") == Names{"fc1"});
  CHECK(on("last(conv)") == Names{"conv3", "project"});
  CHECK(on("last(affine)") == Names{"fc2"});
  // iNNvestigate looks through reshapes only: then padding and normalisation stand before the first layer.
  CHECK(on("first(affine, through = reshape or transpose)").empty());
  CHECK(on("first(affine, through = routing or elementwise)") == Names{"conv1"});
  CHECK(on("last(conv, through = routing)").empty());
  CHECK(on("last(affine, through = routing)") == Names{"fc2"});
  CHECK(on("index(conv, 0)") == Names{"conv1"});
  CHECK(on("index(conv, 0..1)") == Names{"conv1", "conv2"});
  CHECK(on("index(dense, -1)") == Names{"fc2"});
  CHECK(on("index(affine, -2..-1)") == Names{"fc1", "fc2"});
  CHECK(on("index(affine, 100..200)").empty());
  CHECK(on("index(0..2)") == Names{"normal", "pad", "sub"});
  CHECK(on("depth < 3") == Names{"normal", "sub"});
  CHECK(on("depth == 4") == Names{"conv1"});
  CHECK(on("depth >= 13") == Names{"fc2", "relu4"});
  CHECK(on("name(\"relu*\") and not name(\"relu4\")") == Names{"relu1", "relu2", "relu3"});
  CHECK(on("conv and not first(conv)") == Names{"conv2", "conv3", "project"});
  CHECK(on("dense or pad") == Names{"fc1", "fc2", "pad"});
}

TEST_CASE("selectors ask about the shapes and attributes of the node") {
  Net net;
  const auto on = [&](const std::string& selector) { return chosen(selector, net.y, {net.x}); };
  CHECK(on("conv and dim(node, 1) > 3") == Names{"conv3", "project"});
  CHECK(on("rank(node) == 2 and dense") == Names{"fc1", "fc2"});
  CHECK(on("conv and dim(node.w, 2) == 1") == Names{"project"});
  CHECK(on("conv and node.groups == 1") == Names{"conv1", "conv2", "conv3", "project"});
}

TEST_CASE("a first layer is reached from each of several inputs") {
  Graph graph(DType::float64);
  Draw draw(2);
  const Expr a = graph.input("a", {DType::float64, Shape{B, 4}}),
             b = graph.input("b", {DType::float64, Shape{B, 4}});
  const Expr w = draw.weight(graph, {3, 4});
  const Expr left = named(dense(a, w), "left"), right = named(dense(b, w), "right");
  const Expr y = named(dense(relu(left) + relu(right), draw.weight(graph, {2, 3})), "top");
  CHECK(chosen("first(affine)", y, {a, b}) == Names{"left", "right"});
  CHECK(chosen("first(affine)", y, {a}) == Names{"left"});
}

TEST_CASE("guards see skips, ancestors, producers and nodes") {
  Graph graph(DType::float64);
  Draw draw(3);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr z = graph.input("z", {DType::float64, Shape{B, 4}});
  const auto layer = [&](Expr v) { return dense(v, draw.weight(graph, {4, 4})); };
  const Expr body = layer(relu(layer(x)));
  const Expr identity = named(x + body, "identity");
  const Expr projected = named(layer(relu(layer(identity))) + layer(identity), "projected");
  const Expr equal = named(layer(projected) + layer(projected), "equal");
  const Expr gate = 1.0 - sigmoid(layer(equal));
  const Expr gated = named(gate * tanh(layer(equal)), "gated");
  const Expr y = gated + layer(z);
  const Question question = question_about(y, {x, z});

  const std::vector<Expr> explained{x, z};
  const ForwardFacts facts(std::span(&y, 1), explained);
  CHECK(facts.is_skip(x, body));
  CHECK_FALSE(facts.is_skip(body, x));
  CHECK(facts.is_skip(projected.operand(1), projected.operand(0)));
  CHECK_FALSE(facts.is_skip(projected.operand(0), projected.operand(1)));
  CHECK_FALSE(facts.is_skip(equal.operand(0), equal.operand(1)));
  CHECK_FALSE(facts.is_skip(equal.operand(1), equal.operand(0)));
  // Two inputs have no dominator in common: neither branch skips anything.
  CHECK_FALSE(facts.is_skip(y.operand(1), y.operand(0)));
  CHECK(facts.is_ancestor(x, body));
  CHECK_FALSE(facts.is_ancestor(body, x));
  CHECK_FALSE(facts.is_ancestor(z, gated));
  CHECK(facts.is_ancestor(x, y));
  CHECK(facts.producer(gate) == gate.operand(1));

  const auto rule_of = [&](const std::string& rules, const std::string& name) {
    const RuleLibrary library =
        library_with("rules mine {\n" + rules + "\n}\nanalyzer a { use mine  default gradient }\n");
    std::vector<std::string> found;
    for (const Step& step : analyze(library, {"a", {}}, question).steps)
      if (step.by->rule == name)
        found.push_back(graph.names(step.node).empty()
                            ? step.node.op().name
                            : graph.names(step.node)[0] + (step.slot == 0 ? ".0" : ".1"));
    return found;
  };
  CHECK(rule_of("rule hit: grad(a + b, r) wrt a when ancestor(a, b) => r", "hit") == Names{"identity.0"});
  CHECK(rule_of("rule hit: grad(a + b, r) wrt a when skip(a, b) => r", "hit") ==
        Names{"projected.1", "identity.0"});
  CHECK(rule_of("rule hit: grad(y: a * s, r) wrt s when producer(s) is sigmoid => vjp(y, r)", "hit") ==
        Names{"gated.0"});
  CHECK(rule_of("rule hit: grad(y: a * s, r) wrt s when s is tanh => vjp(y, r)", "hit") == Names{"gated.1"});
  CHECK(rule_of("rule hit: grad(y: mul, r) wrt v when y is \"gated\" => vjp(y, r)", "hit") ==
        Names{"gated.0", "gated.1"});
}

TEST_CASE("a guard's mistakes name the place and the nearest word") {
  Net net;
  CHECK(error_of([&] { chosen("first(afine)", net.y, {net.x}); }).find("affine") != std::string::npos);
  CHECK(error_of([&] { chosen("index(conv, \"a\")", net.y, {net.x}); }).find("0..3") != std::string::npos);
  CHECK(error_of([&] {
          (void)analyze(library_with("rules f { rewrite y: conv(x, w, b) when first(conv) => y(b = 0) "
                                     "}\nanalyzer a { canonize f  default gradient }\n"),
                        {"a", {}}, question_about(net.y, {net.x}));
        }).find("while the forward graph is still being rewritten") != std::string::npos);
}
