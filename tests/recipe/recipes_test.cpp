// Recipes: worlds, loops, nodes and other analyzers, inner nodes, and what each mistake is told.
#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

RuleLibrary library_with(const std::string& text) {
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text("rulegrad 1\n" + text, "mine.rules");
  return library;
}

/// dense - relu - dense over four features.
struct Small {
  Graph graph{DType::float64};
  Expr x, hidden, y;
  Tensor value{{2, 4}, {0.5, -1.0, 2.0, 0.25, -0.75, 1.5, 0.125, -2.0}};
  Small() {
    NetworkMaker maker(graph, 2, {});
    x = graph.input("x", {DType::float64, Shape{B, 4}});
    hidden = relu(dense(x, graph.constant(maker.values({6, 4})), graph.constant(maker.values({6}))));
    graph.add_name(hidden, "hidden");
    y = dense(hidden, graph.constant(maker.values({3, 6})), graph.constant(maker.values({3})));
  }
  [[nodiscard]] Question question(std::vector<Expr> explained = {}) {
    return question_for(y, explained.empty() ? std::vector<Expr>{x} : explained, fixed_target(graph, 1));
  }
  Tensor run(const RuleLibrary& library, const std::string& method) {
    return explain(method, question(), {{"x", value}}, {}, {}, library);
  }
};

void must_refuse(const std::string& text, const std::string& method, const std::vector<std::string>& words) {
  Small net;
  try {
    (void)analyze(library_with(text), AnalyzerCall::parse(method), net.question());
    FAIL("accepted: ", text);
  } catch (const Error& error) {
    for (const std::string& word : words)
      CHECK_MESSAGE(std::string(error.what()).find(word) != std::string::npos,
                    word << " is missing in: " << std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("reductions over a loop: sum, mean, var, max, stack, of values that depend on it and of others") {
  Small net;
  const RuleLibrary library = library_with(R"(
analyzer a_sum   { for (t, q) in left(4)  result input * (sum over t (t)) }
analyzer a_mean  { for (t, q) in left(4)  result input * (mean over t (t)) }
analyzer a_var   { for (t, q) in left(4)  result input * (var over t (t)) }
analyzer a_max   { for (t, q) in left(4)  result input * (max over t (t)) }
analyzer a_stack { for (t, q) in left(4)  result stack over t (t * input) }
analyzer a_fixed { for (t, q) in left(4)  result (sum over t (input)) + (mean over t (input)) + (var over t (input)) + (max over t (input)) }
analyzer a_two   { for i in samples(3)  for j in samples(5)  result input * (sum over i (mean over j (i * j))) }
analyzer a_hot   { for v in onehots(4)  result sum over v (v * input) }
)");
  const auto factor = [&](const std::string& method, double expected) {
    const Tensor map = net.run(library, method);
    INFO(method);
    for (std::int64_t i = 0; i < 8; ++i)
      CHECK(map.at(i) == doctest::Approx(expected * net.value.at(i)).epsilon(1e-14));
  };
  factor("a_sum", 1.5);
  factor("a_mean", 0.375);
  factor("a_var", 0.078125);
  factor("a_max", 0.75);
  factor("a_fixed", 4 + 1 + 0 + 1);
  factor("a_two", 3 * 2);
  factor("a_hot", 1);
  const Tensor stacked = net.run(library, "a_stack");
  CHECK(stacked.dims() == Dims{4, 2, 4});
  for (std::int64_t t = 0; t < 4; ++t)
    for (std::int64_t i = 0; i < 8; ++i)
      CHECK(stacked.at(t * 8 + i) == 0.25 * static_cast<double>(t) * net.value.at(i));
}

TEST_CASE("a world gives the value of any node there, in recipes and in rules") {
  Small net;
  const RuleLibrary library = library_with(R"(
analyzer a_input  { point base: input = 0.25  result input - input@base }
analyzer a_score  { point base: input = input / 2  result input * 0 + score - score@base }
analyzer a_moved  { point base: input = 0  at input = 2 * input  result input * 0 + score@user + 10 * score + 100 * score@base }
analyzer a_layer(layer: node) { at layer = 0 * layer  result input * 0 + score }
rules secant { grad(y: relu(x), g) => g * over(y - y@base, x - x@base) }
analyzer a_rule { point base: input = 0  at input = 3 * input  use secant  default gradient }
)");
  const PlainNetwork plain(net.x, net.y, 1);
  const auto scaled = [&](std::int64_t row, double factor) {
    Tensor x = row_of(net.value, row);
    for (double& v : x.mutable_values<double>()) v *= factor;
    return x;
  };
  const Tensor input = net.run(library, "a_input"), score = net.run(library, "a_score"),
               moved = net.run(library, "a_moved");
  for (std::int64_t i = 0; i < 8; ++i) {
    CHECK(input.at(i) == net.value.at(i) - 0.25);
    CHECK(score.at(i) == doctest::Approx(plain.score(scaled(i / 4, 1)) - plain.score(scaled(i / 4, 0.5))));
    CHECK(moved.at(i) == doctest::Approx(plain.score(scaled(i / 4, 1)) + 10 * plain.score(scaled(i / 4, 2)) +
                                         100 * plain.score(scaled(i / 4, 0))));
  }
  // With the hidden layer at 0 the score is the bias of the last one.
  const double bias = net.y.operand(2).attributes().get("value").index() == 8
                          ? std::get<Tensor>(net.y.operand(2).attributes().get("value")).at(1)
                          : NAN;
  CHECK(net.run(library, "a_layer:layer=hidden").at(0) == doctest::Approx(bias));
  // Secants from the baseline to the moved input, summed over the inputs: the difference of the scores.
  const Tensor multipliers = net.run(library, "a_rule");
  for (std::int64_t row = 0; row < 2; ++row) {
    double sum = 0;
    for (std::int64_t i = 0; i < 4; ++i) sum += multipliers.at(row * 4 + i) * 3 * net.value.at(row * 4 + i);
    CHECK(sum == doctest::Approx(plain.score(scaled(row, 3)) - plain.score(scaled(row, 0))));
  }
}

TEST_CASE("loop variables reach the parameters of rules: one map for each mask, the forward pass shared") {
  Small net;
  const RuleLibrary library = library_with(R"(
analyzer concepts(layer: node, masks: tensor) {
  extends gradient
  for k in rows(masks)
  use { grad(y: _, r) when name(y, "hidden") => next(r * k)  grad(y: _, r) => vjp(y, r) }
  result stack over k (relevance)
}
)");
  Tensor masks(DType::float64, {6, 6});
  for (std::size_t k = 0; k < 6; ++k) masks.mutable_values<double>()[k * 7] = 1;
  const AnalyzerCall call{.name = "concepts",
                          .arguments = {{"layer", std::string("hidden")}, {"masks", masks}}};
  const Analysis analysis = analyze(library, call, net.question());
  const Tensor maps = evaluate(analysis.attributions, {{"x", net.value}}).at(0);
  CHECK(maps.dims() == Dims{6, 2, 4});
  const Tensor whole = net.run(library, "gradient");
  for (std::int64_t i = 0; i < 8; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < 6; ++k) sum += maps.at(k * 8 + i);
    CHECK(sum == doctest::Approx(whole.at(i)));
  }
}

TEST_CASE("methods in one program give bit for bit what each gives alone") {
  Graph graph(DType::float32);
  NetworkMaker maker(graph, 9, {});
  const Network net = maker.cnn();
  const Tensor x = maker.values(net.input_dims);
  const Question question = question_for(net.output, {net.input}, fixed_target(graph, 1));
  const std::vector<std::string> methods{"gradient",
                                         "smoothgrad:n=8",
                                         "vargrad:n=8",
                                         "integrated_gradients:steps=8",
                                         "deeplift.rescale",
                                         "occlusion:window=3",
                                         "grad_cam",
                                         "guided_grad_cam:allow_unmatched=1",
                                         "smoothgrad:n=8,method=deeplift.rescale",
                                         "random"};
  std::vector<Expr> all;
  for (const std::string& method : methods)
    all.push_back(analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question).attributions[0]);
  const std::vector<Tensor> together = Program::compile(all).run({{"x", x}});
  for (std::size_t m = 0; m < methods.size(); ++m) {
    INFO(methods[m]);
    Graph other(DType::float32);
    NetworkMaker again(other, 9, {});
    const Network same = again.cnn();
    CHECK(identical(
        together[m],
        explain(methods[m], question_for(same.output, {same.input}, fixed_target(other, 1)), {{"x", x}})));
  }
}

TEST_CASE(
    "two inputs move together, each with noise of its own, and an input layer rule reaches both first "
    "layers") {
  Graph graph(DType::float64);
  NetworkMaker maker(graph, 4, {});
  const Expr a = graph.input("a", {DType::float64, Shape{B, 3}}),
             b = graph.input("b", {DType::float64, Shape{B, 3}});
  const Expr shared = graph.constant(maker.values({4, 3}));
  const Expr left = relu(dense(a, shared)), right = relu(dense(b, shared));
  const Expr y = dense(left * right, graph.constant(maker.values({2, 4})));
  const Tensor va = maker.values({1, 3}), vb = maker.values({1, 3});
  const Inputs inputs{{"a", va}, {"b", vb}};
  const Question question = question_for(y, {a, b}, fixed_target(graph, 0));
  const auto maps = [&](const std::string& method, const RuleLibrary& library = RuleLibrary::builtin()) {
    return evaluate(analyze(library, AnalyzerCall::parse(method), question).attributions, inputs);
  };
  // The path moves both inputs, so that the attributions of both sum to the difference of the scores.
  const auto path = maps("integrated_gradients:steps=64,rule=gauss_legendre");
  const double score = evaluate(std::span(&y, 1), inputs).at(0).at(0);
  CHECK(sum_of(path[0]) + sum_of(path[1]) == doctest::Approx(score).epsilon(1e-3));
  const auto secants = maps("deeplift.rescale");
  CHECK(sum_of(secants[0]) + sum_of(secants[1]) == doctest::Approx(score).epsilon(1e-12));
  const auto noise = maps("random");
  CHECK(distance(noise[0], noise[1]) > 0.1);

  const RuleLibrary library = library_with(
      "analyzer first_flat { use lrp.flat on first(affine)  use lrp.epsilon  use { grad(a * b, r) wrt a => r "
      "/ 2 } use lrp.rest }");
  const Analysis flat = analyze(library, AnalyzerCall::parse("first_flat"), question);
  int reached = 0;
  for (const Step& step : flat.steps) reached += step.by->rule_set == "lrp.flat";
  CHECK(reached == 2);
}

TEST_CASE("relevance at inner nodes, several at once, is what flows there on the way to the input") {
  Small net;
  const std::vector<Expr> explained{net.x, net.hidden};
  const Analysis both = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("lrp.epsilon:epsilon=1e-9"),
                                net.question(explained));
  const std::vector<Tensor> maps = evaluate(both.attributions, {{"x", net.value}});
  CHECK(maps[0].dims() == Dims{2, 4});
  CHECK(maps[1].dims() == Dims{2, 6});
  const Analysis alone = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("lrp.epsilon:epsilon=1e-9"),
                                 net.question({net.hidden}));
  CHECK(identical(evaluate(alone.attributions, {{"x", net.value}}).at(0), maps[1]));
  // An explained inner node is what `input` means: a path from 0 to its value there.
  const Analysis path = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("integrated_gradients:steps=4"),
                                net.question(explained));
  const std::vector<Tensor> paths = evaluate(path.attributions, {{"x", net.value}});
  const Tensor product = evaluate(analyze(RuleLibrary::builtin(), AnalyzerCall::parse("input_times_gradient"),
                                          net.question({net.hidden}))
                                      .attributions,
                                  {{"x", net.value}})
                             .at(0);
  CHECK(distance(paths[1], product) < 1e-12);
  CHECK(paths[0].dims() == Dims{2, 4});
}

TEST_CASE("a node that a canonizer folded away is told with what it went into, and can be kept") {
  Graph graph(DType::float64);
  NetworkMaker maker(graph, 4, {});
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2, 5, 5}});
  const Expr c = conv(x, graph.constant(maker.values({3, 2, 3, 3})));
  graph.add_name(c, "conv1");
  const auto positive = [&] { return graph.constant(Tensor({3}, {0.5, 1.0, 1.5})); };
  const Expr n = batch_norm(c, positive(), positive(), positive(), positive());
  graph.add_name(n, "norm1");
  const Expr y = dense(flatten(relu(n)), graph.constant(maker.values({2, 27})));
  Question question = question_for(y, {c}, fixed_target(graph, 0));
  const AnalyzerCall call = AnalyzerCall::parse("lrp.epsilon");
  CHECK_THROWS_WITH_AS((void)analyze(RuleLibrary::builtin(), call, question),
                       doctest::Contains("explain 'norm1', or keep it apart with --keep conv1"), Error);
  question.explained = {n};
  const Tensor x_value = maker.values({1, 2, 5, 5});
  const Tensor folded =
      evaluate(analyze(RuleLibrary::builtin(), call, question).attributions, {{"x", x_value}}).at(0);
  CHECK(folded.dims() == Dims{1, 3, 3, 3});
  question.explained = {c};
  question.keep = {c};
  CHECK(
      evaluate(analyze(RuleLibrary::builtin(), call, question).attributions, {{"x", x_value}}).at(0).dims() ==
      Dims{1, 3, 3, 3});
  // Both names of the folded layer name it.
  const RuleLibrary library = library_with(
      "analyzer at_layer(layer: node) { canonize canonical  extends gradient  result input * 0 + "
      "sum(mean(relevance(layer), spatial), channels) }");
  question.keep = {};
  question.explained = {x};
  const auto at = [&](const std::string& name) {
    return evaluate(analyze(library, AnalyzerCall::parse("at_layer:layer=" + name), question).attributions,
                    {{"x", x_value}})
        .at(0);
  };
  CHECK(identical(at("conv1"), at("norm1")));
}

TEST_CASE("a sampler of the user's own is used by its name") {
  Samplers samplers = Samplers::builtin();
  samplers.add({.name = "powers",
                .doc = "2^0, 2^1, ...",
                .parameters = {"n"},
                .variables = {"p"},
                .count = [](const SamplerCall& call) { return call.count(0); },
                .values =
                    [](const SamplerCall& call, Expr index) {
                      std::vector<double> table;
                      for (std::int64_t k = 0; k < call.count(0); ++k)
                        table.push_back(std::exp2(static_cast<double>(k)));
                      const Expr values = call.graph.constant(
                          Tensor({call.count(0)}, std::span<const double>(table)).cast(call.graph.real()));
                      return std::vector<Expr>{
                          call.graph.apply(call.operators.at("gather"), {values, index}, AxisAttributes{0})};
                    }});
  Small net;
  RuleLibrary library = RuleLibrary::builtin();
  library.add_samplers(samplers);
  library.add_text("rulegrad 1\nanalyzer mine { for p in powers(4)  result input * (sum over p (p)) }",
                   "mine.rules");
  const Analysis analysis =
      analyze(library, AnalyzerCall::parse("mine"), net.question(), Operators::builtin(), samplers);
  CHECK(evaluate(analysis.attributions, {{"x", net.value}}).at(0).at(0) == 15 * net.value.at(0));
}

TEST_CASE("mistakes in recipes are told with their place and what was meant") {
  must_refuse("analyzer a { for t in midpiont(4)  result mean over t (input) }", "a",
              {"mine.rules:2:", "unknown sampler 'midpiont'", "midpoint"});
  must_refuse("analyzer a { for t in midpoint(0)  result mean over t (input) }", "a",
              {"mine.rules:2:", "midpoint(n)", "a whole number from 1", "the number 0"});
  must_refuse("analyzer a { for (t, q, r) in midpoint(4)  result mean over t (input) }", "a",
              {"mine.rules:2:", "gives 2 (t, q)", "not 3"});
  must_refuse("analyzer a { for t in midpoint(4)  result mean over s (input) }", "a",
              {"mine.rules:2:", "no `for` names `s`"});
  must_refuse("analyzer a { result mean over s (input) }", "a",
              {"mine.rules:2:", "`mean over s`", "no `for` names `s`"});
  must_refuse("analyzer a { for t in midpoint(4)  result t * input }", "a",
              {"mine.rules:2:", "a value for each `t`", "mean over t (relevance)"});
  must_refuse("analyzer a { point base: input = 0  result input@bsae }", "a",
              {"mine.rules:2:", "unknown world 'bsae'", "base"});
  must_refuse("analyzer a { point base: input = relevance  result input@base }", "a",
              {"mine.rules:2:", "`relevance` is known in a `result` only"});
  must_refuse("analyzer a { at input = [1, 2]  result score }", "a",
              {"mine.rules:2:", "`at`", "no expression"});
  must_refuse("analyzer a { at \"hiden\" = 0  result score }", "a", {"unknown node 'hiden'", "hidden"});
  must_refuse("analyzer a(layer: node) { result layer }", "a:layer=hiden",
              {"node for 'layer' of a", "'hiden'", "hidden"});
  must_refuse("analyzer a(layer: node) { result layer }", "a", {"'layer' has no default"});
  must_refuse("analyzer a(m: analyzer = gradeint) { extends m }", "a",
              {"unknown analyzer 'gradeint'", "gradient"});
  must_refuse("analyzer a(m: analyzer = gradient) { extends m }", "a:m=lrp.epsilno",
              {"unknown method 'lrp.epsilno'", "lrp.epsilon"});
  must_refuse(
      "analyzer a(m) { extends m }", "a:m=1",
      {"mine.rules:2:", "`m` is a parameter, but not one that stands for an analyzer", "m: analyzer"});
  must_refuse("analyzer a(n: number = 3) { result n * input }", "a:n=three",
              {"a: parameter 'n' takes a number"});
  must_refuse("analyzer a(n = 3) { result n * input }", "a:n=x.npy", {"'x.npy' names a file", "read_array"});
  must_refuse("analyzer a(s: sampler = midpoint) { for t in s(3)  result mean over t (input) }",
              "a:s=midpont", {"unknown sampler 'midpont'", "midpoint"});
  must_refuse("analyzer a { let b = c  let c = b  result b }", "a",
              {"mine.rules:2:", "is defined by itself"});
  must_refuse("analyzer a { extends b }\nanalyzer b { extends a }", "a", {"`a` extends itself, through `b`"});
  must_refuse("analyzer a { result normal(0.5, 0) }", "a",
              {"mine.rules:2:", "the key must be a whole number"});
  must_refuse("analyzer a { for m in windows(input, 2, 3)  result mean over m (m * input) }", "a",
              {"windows(input, window, [stride])", "strides that leave nothing out"});
  must_refuse("", "grad_cam", {"'layer' of grad_cam", "last conv", "name a node"});

  Small net;
  const AnalyzerCall wrong{.name = "deeplift.rescale",
                           .arguments = {{"baseline", Tensor::full(DType::float64, {3}, 1)}}};
  CHECK_THROWS_WITH_AS((void)analyze(RuleLibrary::builtin(), wrong, net.question()),
                       doctest::Contains("gives shape [3] but the operand it is for has shape [B, 4]"),
                       Error);
  CHECK_THROWS_WITH_AS((void)AnalyzerCall::parse("smoothgrad:method=lrp.epsilon(0.1,n=3"),
                       doctest::Contains("not closed"), Error);
}
