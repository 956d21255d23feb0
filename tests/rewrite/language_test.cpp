// What right-hand sides can say, on numbers.
#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// What the rule makes of the whole gradient of `y` by `x`, with a seed of ones.
Tensor with_rule(const std::string& rules, Expr y, Expr x, const Inputs& inputs,
                 const std::string& more = "") {
  const RuleLibrary library = library_with(more + "\nrules mine {\n" + rules +
                                           "\n}\nanalyzer a { seed fill(value = 1, dtype = dtype(y), shape = "
                                           "shape(y))  use mine  default gradient }\n");
  return maps(library, "a", question_about(y, {x}), inputs)[0];
}

struct Conv {
  Graph graph{DType::float64};
  Draw draw{7};
  Expr x, w, y;
  Tensor value;
  explicit Conv(std::int64_t groups, bool transposed = false) {
    x = graph.input("x", {DType::float64, Shape{B, 4, 5, 5}});
    value = draw.tensor({2, 4, 5, 5});
    w = draw.weight(graph, transposed ? Dims{4, 6 / groups, 3, 3} : Dims{6, 4 / groups, 3, 3});
    const Expr mapped =
        transposed ? graph.apply(op("conv_transpose"), {x, w},
                                 ConvTransposeAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, groups, {5, 5}})
                   : conv(x, w, 0.0, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, groups});
    y = flatten(mapped);
  }
};

}  // namespace

TEST_CASE("numbers for each channel multiply weights as they multiply inputs and outputs") {
  for (const std::int64_t groups : {1, 2})
    for (const bool transposed : {false, true}) {
      CAPTURE(groups);
      CAPTURE(transposed);
      Conv net(groups, transposed);
      // y(x, k w) = y(k x, w), and y(x, w k) = k y(x, w): the same gradients.
      const RuleLibrary library = library_with(
          "rules by_weight(k: tensor) { grad(y: affine(x, w), r) => vjp(y(w = w * in_channels(k, y)), r) }\n"
          "rules by_input(k: tensor) { grad(y: affine(x, w), r) => along(k, channels, x) * vjp(y, r) }\n"
          "rules by_out_weight(k: tensor) { grad(y: affine(x, w), r) => vjp(y(w = y.out_channels(k) * w), r) "
          "}\n"
          "rules by_output(k: tensor) { grad(y: affine(x, w), r) => vjp(y, r * along(k, 1, y)) }\n"
          "analyzer a_in(k: tensor) { seed fill(value = 1, dtype = dtype(y), shape = shape(y))  use "
          "by_weight(k)  default gradient }\n"
          "analyzer b_in(k: tensor) { seed fill(value = 1, dtype = dtype(y), shape = shape(y))  use "
          "by_input(k)  default gradient }\n"
          "analyzer a_out(k: tensor) { seed fill(value = 1, dtype = dtype(y), shape = shape(y))  use "
          "by_out_weight(k)  default gradient }\n"
          "analyzer b_out(k: tensor) { seed fill(value = 1, dtype = dtype(y), shape = shape(y))  use "
          "by_output(k)  default gradient }\n");
      const Question question = question_about(net.y, {net.x});
      const auto run = [&](const std::string& method, std::vector<double> k) {
        const AnalyzerCall call{
            method, {{"k", Tensor({static_cast<std::int64_t>(k.size())}, std::span<const double>(k))}}};
        return evaluate(analyze(library, call, question).attributions, {{"x", net.value}})[0];
      };
      const Tensor scaled_in = run("a_in", {0.5, -2, 3, 1.5}),
                   scaled_out = run("a_out", {1, 2, -1, 0.5, 3, -2});
      CHECK(largest(scaled_in) > 0.1);
      CHECK(distance(scaled_in, run("b_in", {0.5, -2, 3, 1.5})) < 1e-12);
      CHECK(distance(scaled_out, run("b_out", {1, 2, -1, 0.5, 3, -2})) < 1e-12);
      CHECK(error_of([&] {
              (void)run("a_in", {1, 2, 3});
            }).find("one number for each of the 4 input channels") != std::string::npos);
    }
}

TEST_CASE("reductions over axis sets line up with what they reduce") {
  Graph graph(DType::float64);
  Draw draw(3);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 4, 5}});
  const Expr y = flatten(tanh(x));
  const Tensor value = draw.tensor({2, 3, 4, 5});
  const auto reduced = [&](const std::string& e) {
    return with_rule("grad(tanh(x), r) => r * 0 + " + e, y, x, {{"x", value}});
  };
  const auto expected = [&](auto&& belongs, auto&& combine, double start) {
    Tensor result = Tensor::full(DType::float64, {2, 3, 4, 5}, 0);
    auto out = result.mutable_values<double>();
    for (int n = 0; n < 2; ++n)
      for (int c = 0; c < 3; ++c)
        for (int h = 0; h < 20; ++h) {
          double sum = start;
          for (int d = 0; d < 3; ++d)
            for (int k = 0; k < 20; ++k)
              if (belongs(c == d, h == k)) sum = combine(sum, value.at((n * 3 + d) * 20 + k));
          out[static_cast<std::size_t>((n * 3 + c) * 20 + h)] = sum;
        }
    return result;
  };
  const auto add = [](double a, double b) { return a + b; };
  const auto most = [](double a, double b) { return std::max(a, b); };
  CHECK(distance(reduced("sum(x, spatial)"), expected([](bool c, bool) { return c; }, add, 0)) < 1e-12);
  CHECK(distance(reduced("sum(x, channels)"), expected([](bool, bool s) { return s; }, add, 0)) < 1e-12);
  CHECK(distance(reduced("amax(x, per sample)"),
                 expected([](bool, bool) { return true; }, most, -INFINITY)) == 0);
  CHECK(distance(reduced("sum(x, axes = spatial)"), reduced("sum(x, [2, 3], keep)")) == 0);
  CHECK(distance(reduced("mean(x, 1, keep)"),
                 expected([](bool, bool s) { return s; }, [](double a, double b) { return a + b / 3; }, 0)) <
        1e-12);
  // RectGrad: what belongs to the largest tenth of r x stays.
  const Tensor rect = with_rule(
      "grad(y: tanh(x), r) => where(r * x >= quantile(r * x, 0.9, per sample), r, 0)", y, x, {{"x", value}});
  for (int n = 0; n < 2; ++n)
    CHECK(std::count_if(rect.values<double>().begin() + n * 60, rect.values<double>().begin() + (n + 1) * 60,
                        [](double v) { return v != 0; }) == 6);
}

TEST_CASE("diff differentiates a composite, and const holds a part of it") {
  Graph graph(DType::float64);
  Draw draw(4);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 6}});
  const Expr y = relu(x);
  const Tensor value = draw.tensor({3, 6}, -2, 2);
  const auto differences = [&](auto&& f) {
    Tensor result = Tensor::full(DType::float64, {3, 6}, 0);
    for (std::size_t i = 0; i < 18; ++i) {
      const double v = value.at(static_cast<std::int64_t>(i)), h = 1e-6;
      result.mutable_values<double>()[i] = (f(v + h, v) - f(v - h, v)) / (2 * h);
    }
    return result;
  };
  const auto sigmoid_of = [](double v) { return 1 / (1 + std::exp(-v)); };
  CHECK(distance(with_rule("grad(relu(x), r) => diff(x * sigmoid(x), x, r)", y, x, {{"x", value}}),
                 differences([&](double v, double) { return v * sigmoid_of(v); })) < 1e-8);
  CHECK(distance(with_rule("grad(relu(x), r) => diff(x * const(sigmoid(x)), x, r)", y, x, {{"x", value}}),
                 differences([&](double v, double held) { return v * sigmoid_of(held); })) < 1e-8);
  CHECK(distance(with_rule("grad(relu(x), r) => diff(const(x) * tanh(x) + const(exp(x)), x, r)", y, x,
                           {{"x", value}}),
                 differences([&](double v, double held) { return held * std::tanh(v); })) < 1e-8);
  CHECK(largest(with_rule("grad(relu(x), r) => diff(const(x * x), x, r)", y, x, {{"x", value}})) == 0);
  // Through the matched operation itself, and a gradient inside.
  CHECK(distance(with_rule("grad(y: relu(x), r) => diff(y * y, x, r)", y, x, {{"x", value}}),
                 differences([](double v, double) { return v > 0 ? v * v : 0; })) < 1e-5);
  CHECK(distance(with_rule("grad(y: tanh(x), r) => diff(vjp(y, r), x, r)", tanh(x), x, {{"x", value}}),
                 differences([](double v, double) { return 1 - std::tanh(v) * std::tanh(v); })) < 1e-8);
}

TEST_CASE("const in a forward rule stops attribution, as in the gradient form of a gate rule") {
  Graph graph(DType::float64);
  Draw draw(5);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr w = draw.weight(graph, {4, 4});
  const Expr hidden = dense(x, w);
  const Expr y = dense(hidden * sigmoid(hidden), draw.weight(graph, {3, 4}));
  const RuleLibrary library = library_with(
      "rules hold { rewrite x * s: sigmoid(x) => x * const(s) }\nanalyzer held { canonize hold  default "
      "gradient  result input * relevance }\n"
      "rules gate { grad(x * s: sigmoid(x), r) wrt x => r * s\n grad(x * s: sigmoid(x), r) wrt s => 0 "
      "}\nanalyzer gated { use gate  default gradient  result input * relevance }\n");
  const Tensor value = draw.tensor({3, 4});
  const Question question = question_about(y, {x});
  CHECK(distance(maps(library, "held", question, {{"x", value}})[0],
                 maps(library, "gated", question, {{"x", value}})[0]) < 1e-14);
  CHECK(distance(maps(library, "held", question, {{"x", value}})[0],
                 maps(library, "input_times_gradient", question, {{"x", value}})[0]) > 1e-3);
}

TEST_CASE("a rule body that is a function of an operation serves a surrogate too") {
  // Batch norm as the affine map k x + c; the body is written once, for any affine operation.
  Graph graph(DType::float64);
  Draw draw(6);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 4, 4}});
  const Expr scale = draw.weight(graph, {3}), bias = draw.weight(graph, {3}), mean = draw.weight(graph, {3}),
             var = draw.weight(graph, {3}, 0.5, 2);
  const Expr y = flatten(batch_norm(x, scale, bias, mean, var));
  const std::string body =
      "fn share(y, x, w, r) = x * vjp(y(w = w * w), r / stabilize(y(x = 1, w = w * w, b = 0), 1e-6))\n";
  const Tensor value = draw.tensor({2, 3, 4, 4});
  const Tensor surrogate = with_rule(
      "grad(y: batch_norm(x, g, b, m, v), r) =>\n"
      "  let k = g / sqrt(v + y.epsilon)\n"
      "  let one = fill(value = 1, dtype = dtype(g), shape = [3, 1, 1, 1])\n"
      "  let s = conv(x, one * along(k, 1, x).reshape(shape = [3, 1, 1, 1]), b, groups = 3)\n"
      "  share(s, x, s.w, r)",
      y, x, {{"x", value}}, body);
  // Every unit has one input, so that the share of w^2 is all of it: x r / stabilize(1).
  for (std::int64_t i = 0; i < value.size(); ++i)
    CHECK(surrogate.at(i) == doctest::Approx(value.at(i) / (1 + 1e-6 / 1)).epsilon(1e-3));
}

TEST_CASE("a rule takes the place of its namesake in the set that its set uses") {
  const RuleLibrary library = library_with(
      "rules base {\n  rule lower: grad(relu(x), r) => r\n  rule other: grad(tanh(x), r) => 2 * r\n}\n"
      "rules changed {\n  rule lower: grad(relu(x), r) => 3 * r\n  grad(sigmoid(x), r) => 5 * r\n  use "
      "base\n}\n"
      "analyzer a { use changed }\n");
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  const Question question = question_about(sigmoid(tanh(relu(x))), {x});
  const Analysis analysis = analyze(library, {"a", {}}, question);
  CHECK(evaluate(analysis.attributions, {{"x", Tensor({1, 1}, {1.0})}})[0].at(0) == 30);
  REQUIRE(analysis.steps.size() == 3);
  CHECK(analysis.steps[2].by->rule_set == "changed");
}

TEST_CASE("rules written in an analyzer read its parameters") {
  const RuleLibrary library = library_with(
      "analyzer a(k = 3) {\n  use { grad(relu(x), r) => k * r } on not first(relu)\n  use { grad(relu(x), r) "
      "=> r }\n}\n");
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  const Question question = question_about(relu(relu(relu(x))), {x});
  CHECK(maps(library, "a", question, {{"x", Tensor({1, 1}, {1.0})}})[0].at(0) == 9);
  CHECK(maps(library, "a:k=2", question, {{"x", Tensor({1, 1}, {1.0})}})[0].at(0) == 4);
}

TEST_CASE("patterns repeat variables, swap operands together and leave operands out") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  const Tensor one({1, 1}, {2.0});
  const auto value = [&](const std::string& rule, Expr y) {
    return with_rule(rule, y, x, {{"x", one}}).at(0);
  };
  const Expr a = x + 1.0, b = tanh(x);
  const RuleLibrary library = library_with(
      "rules f { rewrite (p + sigmoid(q)) * q => 100 * p }\nanalyzer m { canonize f  default gradient }\n");
  const Expr joint = x * (sigmoid(x) + 3.0 * x);
  CHECK(maps(library, "m", question_about(joint, {x}), {{"x", one}})[0].at(0) == 300);
  // Which order of the sum fits is known only from the other factor.
  const RuleLibrary back = library_with(
      "rules f { rewrite (p + q) * exp(q) => 7 * p }\nanalyzer m { canonize f  default gradient }\n");
  CHECK(maps(back, "m", question_about((x + b) * exp(x), {x}), {{"x", one}})[0].at(0) ==
        doctest::Approx(7 * (1 - std::tanh(2.0) * std::tanh(2.0))));
  const Expr parts[] = {x, b, a};
  const Expr joined = concat(parts, 1);
  CHECK(value("grad(y: concat(...), r) wrt v => 2 * vjp(y, r)", joined) ==
        doctest::Approx(2 * (2 + 1 - std::tanh(2.0) * std::tanh(2.0))));
  CHECK(value("grad(y: concat(u, v), r) wrt v => 0", joined) == 2);
}

TEST_CASE("arrays that belong to nodes are found by name, and mistakes name file, node and shapes") {
  Graph graph(DType::float64);
  Draw draw(8);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr first = dense(x, draw.weight(graph, {5, 4})), y = dense(relu(first), draw.weight(graph, {3, 5}));
  graph.add_name(first, "fc1");
  graph.add_name(first, "encoder/fc1");
  graph.add_name(y, "fc2");
  const RuleLibrary library = library_with(
      "rules pattern { grad(y: affine(x), r) => vjp(y(w = aux(y, \"pattern\")), r) }\nanalyzer pattern { use "
      "pattern  default gradient }\n");
  const Tensor p1 = draw.tensor({5, 4}), p2 = draw.tensor({3, 5}), value = draw.tensor({2, 4});
  auto arrays = std::make_shared<AuxiliaryArrays>("patterns.npz");
  Question question = question_about(y, {x});
  CHECK(error_of([&] {
          (void)analyze(library, {"pattern", {}}, question);
        }).find("--aux FILE.npz") != std::string::npos);
  arrays->add("fc2/pattern", p2);
  question.aux = arrays;
  CHECK(error_of([&] {
          (void)analyze(library, {"pattern", {}}, question);
        }).find("patterns.npz has no array for dense 'fc1'") != std::string::npos);
  arrays->add("encoder/fc1/pattern", p1);
  const Tensor map = maps(library, "pattern", question, {{"x", value}})[0];
  const Tensor z = evaluate(std::vector<Expr>{first}, {{"x", value}})[0];
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < 4; ++i) {
      double expected = 0;
      for (int k = 0; k < 5; ++k)
        if (z.at(n * 5 + k) > 0) expected += p2.at(k) * p1.at(k * 4 + i);
      CHECK(map.at(n * 4 + i) == doctest::Approx(expected));
    }
  arrays->add("fc1/pattern", p1);
  CHECK(error_of([&] {
          (void)analyze(library, {"pattern", {}}, question);
        }).find("holds both") != std::string::npos);
  auto bad = std::make_shared<AuxiliaryArrays>("patterns.npz");
  bad->add("fc2/pattern", p1);
  question.aux = bad;
  const std::string message = error_of([&] { (void)analyze(library, {"pattern", {}}, question); });
  CHECK(message.find("'fc2/pattern' of patterns.npz has shape [5, 4]") != std::string::npos);
  CHECK(message.find("[3, 5]") != std::string::npos);
}

TEST_CASE("next hands a changed cotangent to the rules below") {
  const RuleLibrary library = library_with(
      "rules masked { grad(relu(x), r) => next(2 * r) }\nrules below { grad(relu(x), r) => r + 1 }\nanalyzer "
      "a { use masked  use below }\n");
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  CHECK(maps(library, "a", question_about(relu(x), {x}), {{"x", Tensor({1, 1}, {1.0})}})[0].at(0) == 3);
}

TEST_CASE("element types are words: guards compare them, attributes take them") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3}});
  const Expr narrow = graph.apply(op("cast"), {x}, CastAttributes{DType::float32});
  const Expr y = graph.apply(op("cast"), {graph.apply(op("relu"), {narrow})}, CastAttributes{DType::float64});
  const Inputs inputs{{"x", Tensor({1, 3}, {1.0, -2.0, 3.0})}};
  const auto by = [&](const std::string& rules) { return with_rule(rules, y, x, inputs); };
  // By the type of an operand, by an attribute of the matched node, and by what is not that type.
  CHECK(identical(by("grad(relu(x), g) when dtype(x) == float32 => 2 * g"), Tensor({1, 3}, {2.0, 2.0, 2.0})));
  CHECK_THROWS_WITH_AS((void)by("grad(relu(x), g) when dtype(x) == float64 => 2 * g"),
                       doctest::Contains("none of the rules of a matches anything here"), Error);
  CHECK(identical(by("grad(relu(x), g) when dtype(x) != float64 => 2 * g"), Tensor({1, 3}, {2.0, 2.0, 2.0})));
  CHECK(identical(by("grad(y: cast(x), g) when y.dtype == float32 => 5 * cast(g, dtype = float64)"),
                  Tensor({1, 3}, {5.0, 0.0, 5.0})));
  // 0.1 as float32 is another number.
  CHECK(identical(
      by("grad(y: cast(x), g) when dtype(x) == float64 => cast(cast(0.1 * cast(g, dtype = float64), "
         "dtype = float32), dtype = dtype(x))"),
      Tensor({1, 3}, {static_cast<double>(0.1F), 0.0, static_cast<double>(0.1F)})));
  CHECK_THROWS_AS((void)by("grad(relu(x), g) when dtype(x) == float16 => g"), Error);
}
