// What used to give a number under a wrong name, or none: averaging that counted as movement, methods without
// a node of their own, ties, roots of 0, branches that are not taken, normalisations of other axes.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// The folder of a case that failed once, or nothing, which is said.
std::optional<std::filesystem::path> field(const std::string& name) {
  const auto data = shared_data();
  if (data && std::filesystem::is_directory(*data / "field" / name)) return *data / "field" / name;
  MESSAGE("skipped: no shared data");
  return std::nullopt;
}

Tensor map_of(const std::filesystem::path& folder, const std::string& method,
              const std::string& input = "x.npy") {
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
  return Explainer(model, method).run(io::read_npy(folder / input).cast(DType::float64)).attribution();
}

/// The gradient of sum(weights * y) by the inputs at one point.
std::vector<Tensor> gradients(Expr y, std::vector<Expr> xs, const Inputs& inputs) {
  const std::vector<Expr> outputs =
      gradient(y, xs, y.graph().apply(op("fill"), {}, FillAttributes{1, y.dtype(), y.shape()}));
  return Program::compile(outputs).run(inputs);
}

void check_values(const Tensor& got, std::vector<double> expected) {
  REQUIRE(got.size() == static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(got.at(static_cast<std::int64_t>(i)) == doctest::Approx(expected[i]).epsilon(1e-12));
}

Tensor vector_of(std::vector<double> values) {
  return Tensor({static_cast<std::int64_t>(values.size())}, std::span<const double>(values));
}

}  // namespace

TEST_CASE(
    "LRP-0 through a linear resize is input times gradient over the score, as through any linear network "
    "without biases") {
  for (const ResizeMode mode : {ResizeMode::linear, ResizeMode::nearest})
    for (const ResizeCoordinates coordinates :
         {ResizeCoordinates::half_pixel, ResizeCoordinates::align_corners}) {
      Graph graph(DType::float64);
      Draw draw(3);
      const Expr x = graph.input("x", {DType::float64, Shape{B, 2, 3, 4}});
      const Expr wide = graph.apply(op("resize"), {x}, ResizeAttributes{{5, 7}, {}, mode, coordinates, {}});
      const Expr y =
          dense(flatten(conv(wide, draw.weight(graph, {3, 2, 2, 2}))), draw.weight(graph, {1, 3 * 4 * 6}));
      const Inputs inputs{{"x", draw.tensor({2, 2, 3, 4})}};
      const Tensor got = maps(RuleLibrary::builtin(), "lrp.z", question_about(y, {x}), inputs)[0];
      const Tensor gradient =
          maps(RuleLibrary::builtin(), "input_times_gradient", question_about(y, {x}), inputs)[0];
      const Tensor score = Program::compile(std::span(&y, 1)).run(inputs).at(0);
      for (std::int64_t i = 0; i < got.size(); ++i)
        CHECK(got.at(i) == doctest::Approx(gradient.at(i) / score.at(i / 24)).epsilon(1e-8));
    }
  if (const auto folder = field("bilinear_resize_lrp"))
    CHECK(distance(map_of(*folder, "lrp.z"), io::read_npy(*folder / "expected.npy").cast(DType::float64)) <
          1e-9);
}

TEST_CASE("a batch norm behind a dense layer on [N, tokens, features] joins it over its last axis alone") {
  for (const std::int64_t axis : {1, 2})
    for (const std::int64_t features : {3, 4}) {
      Graph graph(DType::float64);
      Draw draw(4);
      const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5}});
      const std::int64_t channels = axis == 1 ? 3 : features;
      const Expr zero = graph.constant(Tensor::full(DType::float64, {channels}, 0));
      const Expr n =
          batch_norm(dense(x, draw.weight(graph, {features, 5})), draw.weight(graph, {channels}, 0.5, 2),
                     zero, zero, draw.weight(graph, {channels}, 0.5, 2), BatchNormAttributes{1e-5, axis});
      const Expr y = dense(flatten(n), draw.weight(graph, {1, 3 * features}));
      const Inputs inputs{{"x", draw.tensor({2, 3, 5})}};
      const Analysis analysis =
          analyze(RuleLibrary::builtin(), AnalyzerCall::parse("lrp.z"), question_about(y, {x}));
      CHECK(analysis.rewrites.size() == (axis == 2 ? 1 : 0));
      const Tensor got = evaluate(analysis.attributions, inputs)[0];
      const Tensor gradient =
          maps(RuleLibrary::builtin(), "input_times_gradient", question_about(y, {x}), inputs)[0];
      const Tensor score = Program::compile(std::span(&y, 1)).run(inputs).at(0);
      for (std::int64_t i = 0; i < got.size(); ++i)
        CHECK(got.at(i) == doctest::Approx(gradient.at(i) / score.at(i / 15)).epsilon(1e-8));
    }
  if (const auto folder = field("bn_over_tokens"))
    CHECK(distance(map_of(*folder, "lrp.z"),
                   io::read_npy(*folder / "expected_lrp_z.npy").cast(DType::float64)) < 1e-9);
}

TEST_CASE("Max(x, 0) is a ReLU: its derivative at 0 is 0, and Guided Backprop finds it") {
  const auto folder = field("relu_as_max");
  if (!folder) return;
  const Model model = load_onnx((*folder / "model.onnx").string(), {.dtype = DType::float64});
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("guided_backprop"),
                                    question_about(model.outputs()[0].expr, {model.inputs()[0].expr}));
  CHECK(std::any_of(analysis.steps.begin(), analysis.steps.end(), [](const Step& step) {
    return step.node.is("relu") && step.by->rule_set == "guided_backprop.relu";
  }));
}

TEST_CASE("a method none of whose rules matches is an error that says so") {
  Graph graph(DType::float64);
  Draw draw(5);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr y = dense(tanh(dense(x, draw.weight(graph, {6, 4}))), draw.weight(graph, {2, 6}));
  for (const std::string method : {"guided_backprop", "deconvnet", "rectgrad", "beta_smooth"}) {
    CAPTURE(method);
    const Question question = question_about(y, {x});
    const std::string said =
        error_of([&] { (void)analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question); });
    const std::string begin = "none of the rules of " + method + " matches anything here: they are for ";
    CHECK((said.find(begin + "relu, clip") != std::string::npos ||
           said.find(begin + "clip, relu") != std::string::npos));
    CHECK(said.find("dense, tanh") != std::string::npos);
    CHECK(said.find("--allow-unmatched") != std::string::npos);
    const Inputs inputs{{"x", draw.tensor({2, 4})}};
    CHECK(distance(maps(RuleLibrary::builtin(), method + ":allow_unmatched=1", question, inputs)[0],
                   maps(RuleLibrary::builtin(), "gradient", question, inputs)[0]) == 0);
  }
  // Rules that match once are enough, and a method without rules of its own has none that could.
  CHECK_NOTHROW(
      (void)analyze(RuleLibrary::builtin(), AnalyzerCall::parse("gradient"), question_about(y, {x})));
  // Under the name of another tool it is what that tool gives.
  CHECK_NOTHROW((void)analyze(RuleLibrary::builtin(), AnalyzerCall::parse("zennit.guided_backprop"),
                              question_about(y, {x})));
  const RuleLibrary own = library_with(
      "rules mine { grad(relu(x), g) => g / 2 }\nanalyzer mine { use mine  default gradient }\n");
  CHECK(error_of([&] {
          (void)analyze(own, AnalyzerCall::parse("mine"), question_about(y, {x}));
        }).find("none of the rules of mine matches") != std::string::npos);
}

TEST_CASE("ReLU6 is min(relu(x), 6) to Guided Backprop, DeconvNet, RectGrad and the smoothed ReLU") {
  Draw draw(6);
  const Tensor w1 = draw.tensor({12, 4}, -6, 6), w2 = draw.tensor({5, 12}),
               value = draw.tensor({3, 4}, -2, 2);
  for (const std::string method :
       {"guided_backprop", "deconvnet", "rectgrad:percentile=50", "beta_smooth:beta=1"}) {
    CAPTURE(method);
    std::vector<Tensor> both;
    for (const bool clipped : {true, false}) {
      Graph graph(DType::float64);
      const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
      const Expr z = dense(x, graph.constant(w1));
      const Expr a = clipped ? graph.apply(op("clip"), {z}, ClipAttributes{0, 6}) : min(relu(z), 6.0);
      both.push_back(maps(RuleLibrary::builtin(), method, question_about(dense(a, graph.constant(w2)), {x}),
                          {{"x", value}})[0]);
    }
    CHECK(distance(both[0], both[1]) < 1e-12);
    CHECK(largest(both[0]) > 0);
  }
  // Zennit's and Captum's hooks hang on nn.ReLU alone (Zennit 0.5.1, Captum 0.9.0 measured on a MobileNetV2).
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}});
  const Expr six = graph.apply(op("clip"), {dense(x, graph.constant(w1))}, ClipAttributes{0, 6});
  const Question question = question_about(dense(six, graph.constant(w2)), {x});
  const Tensor gradient = maps(RuleLibrary::builtin(), "gradient", question, {{"x", value}})[0];
  for (const std::string method : {"zennit.guided_backprop", "zennit.deconvnet", "zennit.beta_smooth",
                                   "captum.guided_backprop", "captum.deconvolution"}) {
    CAPTURE(method);
    CHECK(distance(maps(RuleLibrary::builtin(), method, question, {{"x", value}})[0], gradient) == 0);
  }
  // Captum's DeepLIFT knows six activations; the others send back their gradient.
  const Tensor difference = maps(RuleLibrary::builtin(), "captum.deeplift", question, {{"x", value}})[0];
  const Tensor product = maps(RuleLibrary::builtin(), "input_times_gradient", question, {{"x", value}})[0];
  CHECK(distance(difference, product) < 1e-12);
}

// What torch 2.13.0 (CPU, float64) gives for x.grad of the sum of the result; where torch itself knows two
// answers, the one of the function that exports to this operator is named.
TEST_CASE("derivatives at ties and kinks are torch's") {
  Graph graph(DType::float64);
  const auto input = [&](const std::string& name, std::int64_t n) {
    return graph.input(name, {DType::float64, Shape{n}});
  };
  const Expr a = input("a", 3), b = input("b", 3);
  const Inputs inputs{{"a", vector_of({1, 0, 2})}, {"b", vector_of({1, 1, 1})}};
  SUBCASE("maximum and minimum share a tie") {
    const auto of_max = gradients(max(a, b), {a, b}, inputs), of_min = gradients(min(a, b), {a, b}, inputs);
    check_values(of_max[0], {0.5, 0, 1});
    check_values(of_max[1], {0.5, 1, 0});
    check_values(of_min[0], {0.5, 1, 0});
    check_values(of_min[1], {0.5, 0, 1});
  }
  SUBCASE("relu, abs, leaky_relu(0.1), elu(0.5), hardtanh, relu6, hardswish, hardsigmoid at their kinks") {
    const Expr x = input("x", 1);
    const auto slope = [&](Expr y, double at) {
      return gradients(y, {x}, {{"x", vector_of({at})}})[0].at(0);
    };
    CHECK(slope(relu(x), 0) == 0);
    CHECK(slope(abs(x), 0) == 0);
    CHECK(slope(graph.apply(op("leaky_relu"), {x}, LeakyReluAttributes{0.1}), 0) == 0.1);
    CHECK(slope(graph.apply(op("elu"), {x}, EluAttributes{0.5}), 0) == 0.5);
    const Expr tanh6 = graph.apply(op("clip"), {x}, ClipAttributes{-1, 1}),
               relu6 = graph.apply(op("clip"), {x}, ClipAttributes{0, 6});
    CHECK(slope(tanh6, -1) == 0);
    CHECK(slope(tanh6, 1) == 0);
    CHECK(slope(relu6, 0) == 0);
    CHECK(slope(relu6, 6) == 0);
    CHECK(slope(graph.apply(op("hardswish"), {x}), -3) == 0);
    CHECK(slope(graph.apply(op("hardswish"), {x}), 3) == 1);
    CHECK(slope(graph.apply(op("hardsigmoid"), {x}), 3) == 0);
    CHECK(slope(graph.apply(op("hardsigmoid"), {x}), -3) == 0);
    CHECK(slope(graph.apply(op("sign"), {x}), 0) == 0);
    CHECK(slope(graph.apply(op("round"), {x}), 0.5) == 0);
  }
  SUBCASE("prod with zeros: [6, 0, 0] of (0, 2, 3), nothing of (0, 0, 3); x^0, x^1, x^2 at 0") {
    const Expr x = input("x", 3);
    check_values(gradients(graph.apply(op("prod"), {x}), {x}, {{"x", vector_of({0, 2, 3})}})[0], {6, 0, 0});
    check_values(gradients(graph.apply(op("prod"), {x}), {x}, {{"x", vector_of({0, 0, 3})}})[0], {0, 0, 0});
    const Expr exponents = graph.constant(vector_of({0, 1, 2}));
    check_values(gradients(graph.apply(op("pow"), {x, exponents}), {x}, {{"x", vector_of({0, 0, 0})}})[0],
                 {0, 1, 0});
  }
}

TEST_CASE("norms and deviations of zeros have the subgradient 0, as torch's norm and std") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3}});
  const Inputs inputs{{"x", Tensor({2, 3}, std::span<const double>(std::vector<double>{0, 0, 0, 3, 0, 4}))}};
  const Expr norm = sqrt(sum(x * x, {1}, true));
  check_values(maps(RuleLibrary::builtin(), "gradient", question_about(norm, {x}), inputs)[0],
               {0, 0, 0, 0.6, 0, 0.8});
  const Expr centred = x - mean(x, {1}, true);
  const Tensor of_std = maps(RuleLibrary::builtin(), "gradient",
                             question_about(sqrt(mean(centred * centred, {1}, true)), {x}), inputs)[0];
  for (std::int64_t i = 0; i < 3; ++i) CHECK(of_std.at(i) == 0);
  // torch.nn.functional.normalize(x, dim=1)[:, 0] at (0, 0, 0): 1e12 for its own input.
  const Expr normalized = x / max(norm, 1e-12);
  const Tensor of_normalize =
      maps(RuleLibrary::builtin(), "gradient", question_about(normalized, {x}), inputs)[0];
  CHECK(of_normalize.at(0) == doctest::Approx(1e12));
  CHECK(of_normalize.at(1) == 0);
}

TEST_CASE("the derivative of a branch that is not taken is 0, whatever its value is") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3}});
  const auto where = [&](Expr c, Operand a, Operand b) {
    return graph.apply(op("where"), {c, a.in(x), b.in(x)});
  };
  const auto greater = [&](Expr a, double b) { return graph.apply(op("greater"), {a, graph.scalar(b)}); };
  const Inputs inputs{{"x", Tensor({1, 3}, std::span<const double>(std::vector<double>{-1, 0, 4}))}};
  const auto gradient_of = [&](Expr y) {
    return maps(RuleLibrary::builtin(), "gradient", question_about(sum(y, {1}, true), {x}), inputs)[0];
  };
  check_values(gradient_of(where(greater(x, 0), sqrt(x), 0.0)), {0, 0, 0.25});
  check_values(gradient_of(where(greater(x, 0), log(x), 7.0)), {0, 0, 0.25});
  check_values(gradient_of(where(greater(x, 0), 1 / x, x)), {1, 1, -1.0 / 16});
  check_values(gradient_of(where(greater(x, 0), graph.apply(op("pow"), {x, graph.scalar(-0.5)}), 0.0)),
               {0, 0, -0.0625});
  // A quotient of what is spread: the sum over it holds what was taken alone.
  const Expr total = sum(x, {1}, true) - 3.0;  // 0
  check_values(gradient_of(where(greater(x, 5), total / total, x)), {1, 1, 1});
  // softmax of a row that is masked as a whole.
  const Expr mask = graph.constant(Tensor({2, 3}, std::span<const double>(std::vector<double>{
                                                      -INFINITY, -INFINITY, -INFINITY, 0, 0, -INFINITY})));
  const Expr scores = reshape(x, Shape{B, 1, 3}) + mask, p = softmax(scores, 2);
  const Expr own = graph.apply(op("equal"), {p, p});
  const Expr safe = graph.apply(op("where"), {own, p, graph.scalar(0)});
  const Expr first = sum(safe * graph.constant(vector_of({1, 2, 3})), {1, 2}, false);
  const Expr y = reshape(first, Shape{B, 1});
  const Tensor got = Program::compile(analyze(RuleLibrary::builtin(), AnalyzerCall::parse("gradient"),
                                              question_about(y, {x}))
                                          .attributions,
                                      {.check_finite = false})
                         .run(inputs)
                         .at(0);
  const double e = std::exp(1.0), p0 = 1 / (1 + e), p1 = e / (1 + e);  // of -1 and 0
  check_values(got, {p0 * (1 - (p0 + 2 * p1)), p1 * (2 - (p0 + 2 * p1)), 0});
}

TEST_CASE("the gradient of an attention whose fully masked rows are chosen away is finite, and torch's") {
  const auto folder = field("safe_softmax_nan");
  if (!folder) return;
  const Model model =
      load_onnx((*folder / "model.onnx").string(), {.dtype = DType::float64, .allow_non_finite = true});
  Inputs inputs;
  for (const ModelInput& input : model.inputs())
    inputs[input.name] = io::read_npy(*folder / (input.name + ".npy"));
  const Tensor target = io::read_npy(*folder / "target.npy"),
               expected = io::read_npy(*folder / "expected_gradient_0.npy").cast(DType::float64);
  ExplainChoices choices;
  for (std::int64_t i = 0; i < target.size(); ++i)
    choices.targets.push_back(static_cast<std::int64_t>(target.at(i)));
  const Explainer explainer(model, "gradient",
                            {.targets = Targets::given,
                             .nodes = {"/m/model/embeddings/tok_embeddings/Gather_output_0"},
                             .check_finite = false});
  CHECK(distance(explainer.run(inputs, choices).attribution(), expected) < 1e-6 * largest(expected));
}

TEST_CASE("layers over steps that are merged with the batch get the relevance of layers over steps") {
  const auto model = [](bool merged) {
    Network net;
    Expr x = net.input("x", {B, 3, 4});
    if (merged) x = reshape(x, Shape{Dim(3, true), 4});
    Expr hidden = relu(net.dense(x, 5));
    hidden = reshape(hidden, Shape{B, 15});
    return net.finish(net.dense(hidden, 2));
  };
  std::vector<double> numbers;
  for (int i = 0; i < 24; ++i) numbers.push_back(std::sin(1.7 * i));
  const Tensor input = Tensor({2, 3, 4}, std::span<const double>(numbers)).cast(DType::float32);
  for (const char* const method : {"lrp.epsilon_plus_flat", "lrp.w_square", "lrp.flat", "lrp.z_plus"}) {
    CAPTURE(method);
    const Tensor plain = Explainer(model(false), method).run(input).attribution(),
                 merged = Explainer(model(true), method).run(input).attribution();
    REQUIRE(merged.dims() == plain.dims());
    for (std::int64_t i = 0; i < plain.size(); ++i)
      CHECK(merged.at(i) == doctest::Approx(plain.at(i)).epsilon(1e-5));
  }
}
