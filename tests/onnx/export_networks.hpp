#pragma once

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/export.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/onnx_builder.hpp"

// Networks that are exported, and what their files are held against.
namespace rulegrad::testing {

inline Tensor wavy(Dims dims, double shift) {
  Tensor t = Tensor::uninitialized(DType::float32, std::move(dims));
  double at = shift;
  for (float& v : t.mutable_values<float>()) {
    at += 0.37;
    v = static_cast<float>(std::sin(at * at) + 0.3 * std::cos(at));
  }
  return t;
}

inline Expr make(const char* name, std::vector<Expr> operands, Attributes attributes = {}) {
  Graph& graph = operands.front().graph();
  return graph.apply(op(name), std::move(operands), std::move(attributes));
}

/// The largest difference, as a part of the largest value.
inline double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.dims() == b.dims());
  double difference = 0, size = 0;
  for (std::int64_t i = 0; i < b.size(); ++i) {
    difference = std::max(difference, std::abs(a.at(i) - b.at(i)));
    size = std::max(size, std::abs(b.at(i)));
  }
  return size == 0 ? difference : difference / size;
}

inline Model perceptron() {
  return Sequential({B, 6}).dense(8).relu().dense(8).tanh().dense(4).softmax().finish();
}

/// Maxima of windows that overlap, reach into padding and are cut short; means with and without padding.
inline Model pools() {
  Network net;
  const Expr x = net.input("x", {B, 2, 13, 11});
  Expr h = relu(net.conv(x, 4, {3, 3}, {.pads_begin = {1, 1}, .pads_end = {1, 1}}));
  h = max_pool(h, {.kernel = {3, 3}, .strides = {2, 2}, .pads_begin = {1, 1}, .pads_end = {1, 1}});
  h = relu(net.conv(h, 6, {3, 2}, {.strides = {2, 1}, .pads_begin = {0, 1}, .pads_end = {1, 0}}));
  h = avg_pool(h,
               {.kernel = {2, 2}, .strides = {2, 2}, .pads_begin = {1, 0}, .pads_end = {0, 0}, .ceil = true});
  h = max_pool(h, {.kernel = {2, 3}, .strides = {2, 3}, .ceil = true});
  return net.finish(softmax(net.dense(relu(net.dense(flatten(h), 8)), 3), 1));
}

inline Model residual() {
  Network net;
  const Expr x = net.input("x", {B, 3, 8, 8});
  const ConvAttributes same{.pads_begin = {1, 1}, .pads_end = {1, 1}};
  Expr h = relu(net.conv(x, 4, {3, 3}, same));
  h = relu(net.conv(relu(net.conv(h, 4, {3, 3}, same)), 4, {3, 3}, same) + h);
  h = avg_pool(h, {.kernel = {8, 8}, .strides = {8, 8}});
  return net.finish(net.dense(flatten(h), 5));
}

/// One head of attention, a norm and a feed-forward part over six tokens; a class token at the end.
inline Model attention() {
  Network net;
  constexpr std::int64_t width = 8, tokens = 6;
  const Expr x = net.input("x", {B, tokens, width});
  const Expr normal =
      make("layer_norm", {x, net.parameter("n.w", wavy({width}, 1)), net.parameter("n.b", wavy({width}, 2))},
           LayerNormAttributes{2});
  const Expr q = net.dense(normal, width), k = net.dense(normal, width), v = net.dense(normal, width);
  const Expr weights = softmax(matmul(q, k, {.transpose_b = true}) * 0.35, 2);
  Expr h = x + net.dense(matmul(weights, v), width);
  h = h + net.dense(make("gelu", {net.dense(h, 12)}), width);
  h = make("gather", {h, net.graph().scalar(0, DType::int64)}, AxisAttributes{1});
  return net.finish(net.dense(h, 3));
}

inline const std::vector<std::string> all_methods{
    "gradient",        "lrp.epsilon",      "lrp.epsilon_plus_flat",
    "guided_backprop", "deeplift.rescale", "integrated_gradients:steps=8"};

/// Exported, read back and run on batches of 1 and 3, beside the explainer; with the largest score and with
/// given ones.
inline void same_as_explainer(const Model& model, const std::vector<std::string>& methods, Dims sample,
                              std::int64_t opset = 0, std::int64_t most_samples = 16) {
  for (const Targets targets : {Targets::largest, Targets::given}) {
    const ScratchFile file("exported.onnx");
    const ExportedFile names = export_explanation(
        model, methods, file.path(), {.targets = targets, .opset = opset, .most_samples = most_samples});
    REQUIRE(names.outputs.size() == methods.size() + 1);
    CHECK(names.outputs[0] == "scores");
    CHECK(names.inputs == (targets == Targets::given ? std::vector<std::string>{"x", "target"}
                                                     : std::vector<std::string>{"x"}));
    const Model read = load_onnx(file.path());
    CHECK(read.summary().opset == (opset == 0 ? 13 : opset));
    std::vector<Expr> outputs;
    for (const ModelOutput& output : read.outputs()) outputs.push_back(output.expr);
    REQUIRE(outputs.size() == names.outputs.size());
    const Explainer explainer(model, methods, {.targets = targets});
    for (const std::int64_t batch : {1, 3}) {
      Dims dims{batch};
      dims.insert(dims.end(), sample.begin(), sample.end());
      const Tensor x = wavy(dims, 0.4);
      Inputs inputs{{"x", x}};
      ExplainChoices choices;
      if (targets == Targets::given) {
        choices.targets = batch == 1 ? std::vector<std::int64_t>{2} : std::vector<std::int64_t>{1, 0, 2};
        inputs["target"] = Tensor({batch}, std::span<const std::int64_t>(choices.targets));
      }
      const Explanation expected = explainer.run(x, choices);
      const std::vector<Tensor> found = evaluate(outputs, inputs);
      CHECK(distance(found[0], expected.scores()) < 1e-5);
      for (std::size_t m = 0; m < methods.size(); ++m) {
        INFO(methods[m], ", batch ", batch);
        CHECK(distance(found[m + 1], expected.attribution(m)) < 1e-5);
      }
    }
  }
}

}  // namespace rulegrad::testing
