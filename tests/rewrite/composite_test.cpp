// Operators that rule files define by an expression.
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

const std::string silu2 = "op silu2(x): activation = x * sigmoid(x)\n";

struct Swish {
  Graph graph{DType::float64};
  Draw draw{31};
  Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  Expr hidden = dense(x, draw.weight(graph, {5, 4}));
  Expr y = dense(sigmoid(hidden) * hidden, draw.weight(graph, {3, 5}));
  Tensor value = draw.tensor({3, 4});
  Question question = question_about(y, {x});
};

}  // namespace

TEST_CASE("an operator is found in the graph, is one gradient node, and is computed by its expansion") {
  const RuleLibrary library = library_with(
      silu2 +
      "rules mine { grad(silu2(x), r) => r }\nanalyzer a { use mine  use lrp.epsilon(1e-12) }\nanalyzer b { "
      "use lrp.epsilon(1e-12)  use lrp.rest }\nanalyzer plain { default gradient }\n");
  Swish net;
  for (const std::string method : {"a", "b"}) {
    const Analysis analysis = analyze(library, {method, {}}, net.question);
    CHECK(std::count_if(analysis.steps.begin(), analysis.steps.end(),
                        [](const Step& step) { return step.node.is("silu2"); }) == 1);
    CHECK(std::none_of(analysis.steps.begin(), analysis.steps.end(),
                       [](const Step& step) { return step.node.is("mul"); }));
    const auto values =
        evaluate(std::vector<Expr>{analysis.attributions[0], analysis.seed, analysis.output, net.y},
                 {{"x", net.value}});
    CHECK(std::abs(total(values[0]) - 3) < 1e-6);
    CHECK(distance(values[2], values[3]) < 1e-14);
  }
  // Differentiated by its expansion.
  CHECK(distance(maps(library, "plain", net.question, {{"x", net.value}})[0],
                 maps(library, "gradient", net.question, {{"x", net.value}})[0]) < 1e-13);
  // Analyzers of other files see the graph as it is.
  CHECK(analyze(library, {"gradient", {}}, net.question).output == net.y);
}

TEST_CASE("an operator may be written on right-hand sides and differentiated there") {
  const RuleLibrary library =
      library_with(silu2 +
                   "rules soft { grad(relu(x), r) => diff(silu2(x), x, r) }\nanalyzer soft { use soft  "
                   "default gradient }\n"
                   "rules hard { grad(relu(x), r) => r * (sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x))) "
                   "}\nanalyzer hard { use hard  default gradient }\n");
  Graph graph(DType::float64);
  Draw draw(32);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Question question = question_about(relu(dense(x, draw.weight(graph, {3, 4}))), {x});
  const Tensor value = draw.tensor({2, 4});
  CHECK(distance(maps(library, "soft", question, {{"x", value}})[0],
                 maps(library, "hard", question, {{"x", value}})[0]) < 1e-14);
}

TEST_CASE("operators may build on functions and on each other") {
  const RuleLibrary library = library_with(
      "fn positive(v) = max(v, 0)\nop cut(x): activation = positive(x) - positive(x - 1)\nop twice(x): "
      "activation = cut(x) + cut(2 * x)\n"
      "rules r { rewrite relu(x) => twice(x) }\nanalyzer a { canonize r  default gradient }\n"
      "rules s { rewrite relu(x) => max(x, 0) - max(x - 1, 0) + (max(2 * x, 0) - max(2 * x - 1, 0)) "
      "}\nanalyzer b { canonize s  default gradient }\n");
  Graph graph(DType::float64);
  Draw draw(33);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr y = dense(relu(x), draw.weight(graph, {3, 4}));
  const Tensor value = draw.tensor({3, 4}, -2, 2);
  const Question question = question_about(y, {x});
  const auto run = [&](const std::string& method) {
    const Analysis analysis = analyze(library, {method, {}}, question);
    return evaluate(std::vector<Expr>{analysis.output, analysis.attributions[0]}, {{"x", value}});
  };
  const auto a = run("a"), b = run("b");
  CHECK(distance(a[0], b[0]) < 1e-14);
  CHECK(distance(a[1], b[1]) < 1e-14);
}

TEST_CASE("operands beyond the data of a class are parameters; equal operands are told apart") {
  const RuleLibrary library = library_with(
      "op scaled(x, k): activation = x * tanh(k)\nop both(a, b): elementwise = a * a * b\n"
      "rules r { rewrite x * tanh(k) => scaled(x, k) }\nrules t { grad(y: scaled(x), r) => vjp(y, r) }\n"
      "rules e { rewrite relu(x) => both(x, x) }\nrules f { grad(y: both(a, b), r) wrt b => vjp(y, r)  "
      "grad(y: both(a, b), r) wrt a => 0 }\n"
      "analyzer scaled { canonize r  use t }\nanalyzer cubed { canonize e  default gradient }\nanalyzer half "
      "{ canonize e  use f }\n");
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  const Tensor three({1, 1}, {3.0});
  CHECK(maps(library, "scaled", question_about(x * tanh(graph.scalar(0.5)), {x}), {{"x", three}})[0].at(0) ==
        doctest::Approx(std::tanh(0.5)));
  CHECK(maps(library, "cubed", question_about(relu(x), {x}), {{"x", three}})[0].at(0) == doctest::Approx(27));
  CHECK(maps(library, "half", question_about(relu(x), {x}), {{"x", three}})[0].at(0) == doctest::Approx(9));
}

TEST_CASE("mistakes in operators are told where they stand") {
  CHECK(error_of([] { (void)library_with("op relu(x): activation = max(x, 0)\n"); }).find("test.rules:2:") !=
        std::string::npos);
  CHECK(error_of([] { (void)library_with("op mine(x): activaton = max(x, 0)\n"); }).find("activation") !=
        std::string::npos);
  CHECK(error_of([] {
          (void)library_with("op bad(x): activation = x * nothing\n");
        }).find("test.rules:2:29: error[R210]: `nothing` is not bound here") != std::string::npos);
}
