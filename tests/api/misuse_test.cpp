// Bad use is told by an exception that says what and where, and nothing is computed or changed.
#include <doctest/doctest.h>
#include <functional>

#include "rulegrad/rulegrad.hpp"

#include "api/error_code.hpp"

using namespace rulegrad;
using testing::code_of;

namespace {

Model one_input() {
  return Sequential({B, 3}).dense(2).finish();
}

Model two_inputs() {
  Network net;
  const Expr a = net.input("a", {B, 3}), b = net.input("b", {B, 4});
  return net.finish(net.dense(concat(std::vector<Expr>{a, b}, 1), 2));
}

const Tensor x = Tensor::full(DType::float32, {2, 3}, 1);

}  // namespace

TEST_CASE("elements asked for as another type are refused with both types") {
  CHECK(code_of([] { (void)x.values<double>(); },
                "float64 values were asked of a float32 tensor of shape [2, 3]") == ErrorCode::dtype);
  Tensor counts(DType::int64, {2});
  CHECK(code_of([&] { (void)counts.mutable_values<float>(); },
                "float32 values were asked of a int64 tensor") == ErrorCode::dtype);
  CHECK(code_of(
            [] {
              (void)Tensor({2, 2}, {1.0F});
            },
            "holds 4 elements but 1 values were given") == ErrorCode::shape);
  CHECK(code_of([] { (void)x.at(6); }, "index 6 is outside shape [2, 3]") == ErrorCode::invalid_argument);
}

TEST_CASE("a method for another number of inputs is refused before anything runs") {
  const Model one = one_input(), two = two_inputs();
  const Explainer of_one(one, "lrp.epsilon"), of_two(two, "lrp.epsilon");
  CHECK(code_of([&] { (void)of_two.run(x); },
                "the model has 2 inputs ('a', 'b') and one value was given; give each by its name") ==
        ErrorCode::invalid_argument);
  CHECK(code_of(
            [&] {
              (void)of_two.run(Inputs{{"a", x}});
            },
            "input 'b' float32[B, 4] is missing") == ErrorCode::invalid_argument);
  CHECK(code_of(
            [&] {
              (void)of_one.run(Inputs{{"x", x}, {"z", x}});
            },
            "unknown input 'z'; did you mean 'x'?") == ErrorCode::unknown_name);
  // One array as the baseline of two inputs of different shapes: the place in the rules, both shapes, and the
  // input.
  const AnalyzerCall call{"integrated_gradients", {{"baseline", Tensor::full(DType::float32, {1, 3}, 1)}}};
  CHECK(code_of([&] { (void)Explainer(two, std::span(&call, 1)); }, "rules/sampling.rules:") ==
        ErrorCode::shape);
  CHECK(code_of([&] { (void)Explainer(two, std::span(&call, 1)); }, "[B, 4] and [1, 3]") == ErrorCode::shape);
  CHECK(code_of([&] { (void)Explainer(two, std::span(&call, 1)); },
                "input 'b' float32[B, 4], one of 2 inputs that move together") == ErrorCode::shape);
  CHECK_NOTHROW((void)Explainer(one, std::span(&call, 1)).run(x));
  // Rules that speak of a node that this model does not have.
  Registry registry;
  registry.rules.add_text("rulegrad 1\nanalyzer at_b {\n  extends gradient\n  at \"b\" = 0\n}\n",
                          "at_b.rules");
  CHECK_NOTHROW((void)Explainer(two, "at_b", {.registry = &registry}));
  CHECK(code_of([&] { (void)Explainer(one, "at_b", {.registry = &registry}); }, "unknown node 'b'") ==
        ErrorCode::unknown_name);
}

TEST_CASE("buffers that do not fit are refused by method and node before anything is written") {
  const Model model = one_input();
  const Explainer explainer(model, {"gradient", "lrp.epsilon"});
  std::vector<float> first(6, -1), small(5);
  std::vector<double> wide(6);
  const OutputBuffer too_small[] = {std::span(first), std::span(small)},
                     too_wide[] = {std::span(first), std::span(wide)},
                     nowhere[] = {std::span(first), OutputBuffer(DType::float32, nullptr, 6)};
  CHECK(code_of([&] { explainer.run_into(x, too_small); },
                "lrp.epsilon of 'x' for 2 samples is float32[2, 3], 6 elements, but the buffer holds 5 of "
                "float32") == ErrorCode::shape);
  CHECK(code_of([&] { explainer.run_into(x, too_wide); }, "but the buffer holds 6 of float64") ==
        ErrorCode::dtype);
  CHECK(code_of([&] { explainer.run_into(x, nowhere); },
                "the buffer for lrp.epsilon of 'x' has no memory behind it") == ErrorCode::invalid_argument);
  CHECK(code_of([&] { explainer.run_into(x, std::span(too_small).first(1)); },
                "1 buffers were given for 2 methods of 1 nodes") == ErrorCode::invalid_argument);
  std::vector<float> second(6), scores(3);
  const OutputBuffer good[] = {std::span(first), std::span(second)};
  CHECK(code_of([&] { explainer.run_into(x, good, std::span(scores)); },
                "the scores for 2 samples is float32[2, 2]") == ErrorCode::shape);
  for (const float value : first) CHECK(value == -1);
  const OutputBuffer none[] = {OutputBuffer(DType::float32, nullptr, 4), std::span(first), std::span(second)};
  CHECK(code_of(
            [&] {
              explainer.program().run_into({{"x", x}}, none);
            },
            "the buffer for output 0 has no memory behind it") == ErrorCode::invalid_argument);
}

TEST_CASE("a model or network that was moved from says so, whatever asks it") {
  Model gone = one_input();
  const Model there = std::move(gone);
  const std::string text = "[model] it was moved from and holds no network; use the model it was moved to";
  const std::vector<std::function<void()>> uses{[&] { (void)gone.graph(); },
                                                [&] { (void)gone.inputs(); },
                                                [&] { (void)gone.outputs(); },
                                                [&] { (void)gone.head(HeadKind::logit); },
                                                [&] { (void)Explainer(gone, "gradient"); },
                                                [&] {
                                                  (void)Trainer(gone, cross_entropy, {DType::int64, {B}});
                                                },
                                                [&] { (void)scores_of(gone, ScoreKind::logit); },
                                                [&] { (void)has_probability(gone); },
                                                [&] { (void)learned_layers(gone); }};
  for (const auto& use : uses) CHECK(code_of(use, text) == ErrorCode::invalid_argument);
  CHECK_NOTHROW((void)Explainer(there, "gradient").run(x));

  Network left;
  (void)left.input("x", {B, 2});
  Network right = std::move(left);
  CHECK(code_of(
            [&] {
              (void)left.input("y", {B, 2});
            },
            "[network] it was moved from") == ErrorCode::invalid_argument);
  CHECK(code_of(
            [&] {
              (void)right.input("x", {B, 2});
            },
            "the graph has an input 'x' already") == ErrorCode::invalid_argument);
  Sequential sequential({B, 3});
  (void)sequential.dense(2).finish();
  CHECK(code_of([&] { (void)sequential.finish(); }, "[network] it is finished") ==
        ErrorCode::invalid_argument);
}

TEST_CASE("numbers that make no sense are refused with what they may be") {
  const Model model = one_input();
  const Explainer explainer(model, "gradient");
  CHECK(code_of([&] { (void)explainer.run(x, {.batch_size = -1}); }, "a batch of -1 samples was asked for") ==
        ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)explainer.run(x, {.threads = -1}); }, "-1 threads were asked for") ==
        ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)Explainer(model, "gradient", {.output = 3}); },
                "output 3 was asked for but the model has 1") == ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)explainer.run(x).attribution(3); }, "method 3 of node 0 was asked for") ==
        ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)Sequential({B, 3}).dense(-1); }, "-1 units") == ErrorCode::shape);
  Network left, right;
  const Expr a = left.input("x", {B, 2}), b = right.input("x", {B, 2});
  CHECK(code_of([&] { (void)(a + b); }, "belongs to another graph") == ErrorCode::invalid_argument);
}

TEST_CASE("what this build was made without names the option; what it has works") {
  for (const Feature& feature : features()) {
    INFO(feature.name);
    CHECK_FALSE(feature.gives.empty());
    CHECK_FALSE(feature.needs.empty());
    if (feature.name == "onnx" && !feature.available)
      CHECK(code_of([] { (void)load_onnx("model.onnx"); }, "-Donnx=enabled") == ErrorCode::missing_feature);
    if (feature.name == "onnx" && feature.available)
      CHECK(code_of([] { (void)load_onnx("model.onnx"); }, "model.onnx") == ErrorCode::io);
  }
  CHECK(features().size() == 5);
}
