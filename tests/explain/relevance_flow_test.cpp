#include "rulegrad/explain/relevance_flow.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/explain/comparison.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "explain/explained_network.hpp"
#include "text_snapshot.hpp"

using namespace rulegrad;
using testing::check_text;
using testing::ExplainedNetwork;

namespace {

Tensor image() {
  Tensor x = Tensor::uninitialized(DType::float64, {1, 1, 4, 4});
  double v = -1.25;
  for (double& to : x.mutable_values<double>()) {
    to = v;
    v = v > 1 ? v - 2.5 : v + 0.75;
  }
  return x;
}

struct Traced {
  Analysis analysis;
  RelevanceFlow flow;
};

Traced trace(ExplainedNetwork& network, const std::string& method) {
  Traced traced{analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), network.question()), {}};
  const FlowQuestions questions(traced.analysis);
  traced.flow = questions.read(evaluate(questions.expressions(), {{"image", image()}}));
  return traced;
}

}  // namespace

TEST_CASE("what the seed holds is what reaches the input and what was lost to bias, stabiliser and rest") {
  for (const char* method : {"lrp.epsilon:epsilon=0.5", "lrp.gamma", "lrp.z", "lrp.epsilon_plus_flat"}) {
    INFO(method);
    ExplainedNetwork network;
    const auto [analysis, flow] = trace(network, method);
    CHECK(flow.seed == doctest::Approx(1));
    double lost = 0;
    for (const FlowRow& row : flow.rows) lost += row.bias + row.stabiliser + row.rest;
    CHECK(flow.seed == doctest::Approx(flow.reached + lost).epsilon(1e-9));
    CHECK(shares_relevance(analysis));
  }
}

TEST_CASE("the loss of the epsilon rule in a dense layer is what loops over its weights find") {
  // y = w x + b; with r = 1 at y the input gets w x / (y + e), the bias b / (y + e), the stabiliser e / (y +
  // e).
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr y = dense(x, graph.constant(Tensor({1, 2}, {2.0, -1.0})), graph.constant(Tensor({1}, {0.5})));
  Question question;
  question.output = y;
  question.explained = {x};
  const Analysis analysis =
      analyze(RuleLibrary::builtin(), AnalyzerCall::parse("lrp.epsilon:epsilon=0.25"), question);
  const FlowQuestions questions(analysis);
  const RelevanceFlow flow =
      questions.read(evaluate(questions.expressions(), {{"x", Tensor({1, 2}, {1.5, 1.0})}}));
  REQUIRE(flow.rows.size() == 1);
  const double wx = 2, b = 0.5, e = 0.25;
  CHECK(flow.rows[0].in == doctest::Approx(1));
  CHECK(flow.rows[0].out == doctest::Approx(wx / (wx + b + e)));
  // Without the bias the same rule gives w x / (w x + e), without the stabiliser too all of it.
  CHECK(flow.rows[0].bias == doctest::Approx(wx / (wx + e) - wx / (wx + b + e)));
  CHECK(flow.rows[0].stabiliser == doctest::Approx(1 - wx / (wx + e)));
  CHECK(flow.rows[0].rest == doctest::Approx(0));
}

TEST_CASE(
    "guided backpropagation sends nothing negative from a relu, and the last linear map gives both signs") {
  ExplainedNetwork network;
  const auto [analysis, flow] = trace(network, "guided_backprop");
  CHECK_FALSE(shares_relevance(analysis));
  for (const FlowRow& row : flow.rows) {
    CHECK(row.low <= row.high);
    if (!analysis.steps[row.step].node.is("relu")) continue;
    CHECK(row.low >= 0);
    CHECK(row.negative == 0);
  }
  CHECK(flow.rows.back().low < 0);
  CHECK(flow.rows.back().negative > 0);
}

TEST_CASE("the flow of a sum with two branches stands in one row an operand, losses in the first") {
  ExplainedNetwork network;
  const auto [analysis, flow] = trace(network, "lrp.epsilon:epsilon=0.5");
  const auto add = std::find_if(flow.rows.begin(), flow.rows.end(),
                                [&](const FlowRow& row) { return analysis.steps[row.step].node.is("add"); });
  REQUIRE(add != flow.rows.end());
  CHECK(add->first);
  CHECK_FALSE((add + 1)->first);
  CHECK(add->in == doctest::Approx(add->out + (add + 1)->out + add->bias + add->stabiliser + add->rest));
  check_text(flow_table(analysis, flow), "explain/explained/flow_epsilon.txt");
}

TEST_CASE("the flow of methods with samples is the mean over them") {
  ExplainedNetwork network;
  const auto [analysis, flow] = trace(network, "smoothgrad:n=3,noise=0,method=gradient");
  ExplainedNetwork plain_network;
  const auto plain = trace(plain_network, "gradient");
  REQUIRE(flow.rows.size() == plain.flow.rows.size());
  for (std::size_t i = 0; i < flow.rows.size(); ++i) {
    CHECK(flow.rows[i].out == doctest::Approx(plain.flow.rows[i].out));
    CHECK(flow.rows[i].low == doctest::Approx(plain.flow.rows[i].low));
    CHECK(flow.rows[i].high == doctest::Approx(plain.flow.rows[i].high));
  }
}

TEST_CASE("two analyzers differ where their rules, their parameters or their canonizers do") {
  ExplainedNetwork network;
  const auto run = [&](const std::string& method) {
    return analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), network.question());
  };
  const Analysis epsilon = run("lrp.epsilon"), small = run("lrp.epsilon:epsilon=0.5"),
                 mixed = run("lrp.epsilon_plus_flat"), gradient = run("gradient");

  CHECK(Comparison(epsilon, epsilon).differences().empty());
  CHECK(Comparison(epsilon, epsilon).common() == epsilon.steps.size());

  // Up to 1e-6 the other layers have the same epsilon.
  const Analysis middle = run("lrp.epsilon:epsilon=1e-6");
  const Comparison parameters(middle, small);
  REQUIRE(parameters.differences().size() == 3);
  CHECK(parameters.differences()[0].parameters == "epsilon: 1e-06 | 0.5");

  Comparison rules(middle, mixed);
  rules.read(evaluate(rules.expressions(), {{"image", image()}}));
  check_text(rules.table("lrp.epsilon", "lrp.epsilon_plus_flat"), "explain/explained/diff_rules.txt");
  for (const Difference& d : rules.differences()) CHECK(d.relative_l1 >= 0);

  Comparison canonizers(mixed, gradient);
  canonizers.read(evaluate(canonizers.expressions(), {{"image", image()}}));
  const std::string text = canonizers.table("lrp.epsilon_plus_flat", "gradient");
  check_text(text, "explain/explained/diff_canonizers.txt");
  CHECK(text.find("only lrp.epsilon_plus_flat rewrites before\n  batch_norm 'bn1' with conv 'conv1'") !=
        std::string::npos);
}

TEST_CASE("differences are relative to the larger of both") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr y = relu(x);
  graph.add_name(y, "r");
  Question question;
  question.output = y;
  question.explained = {x};
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(
      "rulegrad 1\nanalyzer a { use { grad(relu(x), g) => 3 * g } }\nanalyzer b { use { grad(relu(x), g) => "
      "g } }\n",
      "ab.rules");
  const Analysis a = analyze(library, AnalyzerCall::parse("a"), question),
                 b = analyze(library, AnalyzerCall::parse("b"), question);
  Comparison comparison(a, b);
  comparison.read(evaluate(comparison.expressions(), {{"x", Tensor({1, 2}, {1.0, 2.0})}}));
  REQUIRE(comparison.differences().size() == 1);
  CHECK(comparison.differences()[0].relative_l1 == doctest::Approx(2.0 / 3));
  CHECK(comparison.differences()[0].relative_max == doctest::Approx(2.0 / 3));
  CHECK_THROWS_AS(comparison.read({}), Error);
}
