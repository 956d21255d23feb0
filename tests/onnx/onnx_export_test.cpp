#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/export.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/export_networks.hpp"
#include "onnx/onnx_builder.hpp"
#include "onnx/onnx_cases.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// What a graph gives as it is and once it was written and read.
void same_once_read(Graph& graph, const std::vector<Expr>& outputs, const Inputs& inputs,
                    std::int64_t opset = 0) {
  const ScratchFile file("operators.onnx");
  save_onnx(file.path(), outputs, {.opset = opset});
  const Model read = load_onnx(file.path(), {.dtype = graph.real()});
  std::vector<Expr> again;
  for (const ModelOutput& output : read.outputs()) again.push_back(output.expr);
  const std::vector<Tensor> expected = evaluate(outputs, inputs), found = evaluate(again, inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    INFO(describe(outputs[i]));
    CHECK(distance(found[i], expected[i]) < 1e-6);
  }
}

}  // namespace

TEST_CASE("an exported explanation of a perceptron is the explainer's") {
  same_as_explainer(perceptron(), all_methods, {6});
}

TEST_CASE("an exported explanation of a network with pooling is the explainer's") {
  same_as_explainer(pools(), all_methods, {2, 13, 11});
  same_as_explainer(pools(), {"gradient", "lrp.epsilon"}, {2, 13, 11}, 18);
}

TEST_CASE("an exported explanation of a residual network is the explainer's") {
  same_as_explainer(residual(), all_methods, {3, 8, 8});
}

TEST_CASE("an exported explanation of an attention block is the explainer's") {
  const std::vector<std::string> methods{"gradient", "lrp.attention", "input_times_gradient",
                                         "integrated_gradients:steps=8"};
  same_as_explainer(attention(), methods, {6, 8});
  same_as_explainer(attention(), methods, {6, 8}, 20);
}

TEST_CASE("ties of a maximum go to the first in row-major order in an exported file") {
  Network net;
  const Expr x = net.input("x", {B, 1, 4, 4});
  const Model model = net.finish(flatten(max_pool(x, {.kernel = {2, 2}, .strides = {1, 2}})));
  const ScratchFile file("ties.onnx");
  const std::vector<std::string> methods{"gradient"};
  (void)export_explanation(model, methods, file.path(), {.targets = Targets::given});
  const Model read = load_onnx(file.path());
  std::vector<Expr> outputs;
  for (const ModelOutput& output : read.outputs()) outputs.push_back(output.expr);
  const std::int64_t target = 3;
  const Tensor found = evaluate(outputs, {{"x", Tensor::full(DType::float32, {1, 1, 4, 4}, 1)},
                                          {"target", Tensor({1}, std::span(&target, 1))}})[1];
  for (std::int64_t i = 0; i < 16; ++i) CHECK(found.at(i) == (i == 6 ? 1 : 0));
}

TEST_CASE("the metadata of an exported file says what is explained, and how") {
  const Model model = perceptron();
  const ScratchFile file("metadata.onnx");
  const std::vector<std::string> methods{"lrp.epsilon:epsilon=0.1", "gradient"};
  (void)export_explanation(model, methods, file.path());
  const auto metadata = inspect_onnx(file.path()).metadata;
  CHECK(metadata.at("rulegrad.methods") == "lrp.epsilon:epsilon=0.1\ngradient");
  CHECK(metadata.at("rulegrad.target") == "largest");
  CHECK(metadata.contains("rulegrad.version"));
  CHECK(metadata.at("rulegrad.rules.lrp.epsilon").find("lrp") != std::string::npos);
}

TEST_CASE("what cannot be exported is named with its reason, and nothing is written") {
  const Model model = pools();
  const auto path = std::filesystem::temp_directory_path() / "rulegrad_never_exported.onnx";
  std::filesystem::remove(path);
  const auto refused = [&](const std::vector<std::string>& methods, const char* why,
                           const ExportOptions& options = {}) {
    CHECK_THROWS_WITH_AS(export_explanation(model, methods, path, options), doctest::Contains(why), Error);
    CHECK_FALSE(std::filesystem::exists(path));
  };
  refused({"smoothgrad"}, "needs operator set 18, but 17 was asked for", {.opset = 17});
  refused({"gradient"}, "operator set 12 is not written", {.opset = 12});
  refused({"gradient"}, "a seed of one's own", {.seed = Question::Seed::tensor});
  refused({"gradeint"}, "gradient");
  refused({}, "at least one method");
}

TEST_CASE("weights beside an exported file are those within it") {
  const Model model = pools();
  const std::vector<std::string> methods{"lrp.epsilon_plus_flat"};
  const ScratchFile one("whole.onnx"), two("apart.onnx"), data("apart.onnx.data");
  (void)export_explanation(model, methods, one.path(), {});
  (void)export_explanation(model, methods, two.path(), {.external_data = true});
  CHECK(std::filesystem::file_size(data.path()) >= 1024);
  CHECK(std::filesystem::file_size(two.path()) < std::filesystem::file_size(one.path()));
  const Inputs x{{"x", wavy({2, 2, 13, 11}, 1)}};
  const Model whole = load_onnx(one.path()), apart = load_onnx(two.path());
  CHECK(identical(evaluate(std::span(&whole.outputs()[1].expr, 1), x)[0],
                  evaluate(std::span(&apart.outputs()[1].expr, 1), x)[0]));
}

TEST_CASE("an operator set that is too low for an operator is refused by its name") {
  Graph g;
  const Expr x = g.input("x", {DType::float32, Shape{B, 4}}), i = g.input("i", {DType::int64, Shape{4}});
  const Expr y = make("scatter_add", {x, i}, ScatterAttributes{1, 7});
  const ScratchFile file("needs16.onnx");
  CHECK_THROWS_WITH_AS(save_onnx(file.path(), std::span(&y, 1), {.opset = 15}),
                       doctest::Contains("needs operator set 16, but 15 was asked for"), Error);
  save_onnx(file.path(), std::span(&y, 1));
  CHECK(inspect_onnx(file.path()).opset == 16);
}

TEST_CASE("operators that are written in several steps read back as the same function") {
  Graph g;
  const Expr x = g.input("x", {DType::float32, Shape{B, 2, 6, 7}});
  const Expr z = g.input("z", {DType::float32, Shape{B, 2, 6, 7}});
  const Expr rows = g.input("rows", {DType::float32, Shape{B, 5, 3}}),
             at = g.input("at", {DType::int64, Shape{B, 4}});
  const Expr known = g.constant(Tensor({3}, {std::int64_t{4}, std::int64_t{0}, std::int64_t{-2}}));
  const Expr twice = g.constant(Tensor({3}, {std::int64_t{1}, std::int64_t{0}, std::int64_t{1}}));
  const PoolAttributes overlapping{{3, 2}, {2, 1}, {1, 0}, {1, 1}, {1, 2}, false};
  const Expr pooled = make("max_pool", {x}, overlapping);
  const Ints both{6, 7};
  std::vector<Expr> outputs{
      make("max_pool_vjp", {x, pooled}, overlapping),
      make("max_pool_jvp", {x, z}, overlapping),
      make("max_pool_jvp", {x, z}, PoolAttributes{{6, 7}, {1, 1}, {}, {}, {}, false}),
      make("avg_pool", {x}, AvgPoolAttributes{{2, 2}, {1, 1}, {}, {}, {2, 1}, false, false}),
      make("avg_pool", {x}, AvgPoolAttributes{{3, 3}, {2, 2}, {1, 1}, {1, 1}, {}, true, true}),
      make("over", {x, make("relu", {z})}),
      make("stabilize", {make("relu", {x}), g.scalar(0.25)}),
      make("sum_to", {x}, ShapeAttributes{Shape{2, 1, 7}}),
      make("first_max", {x}, ReduceAttributes{{1, 3}, false}),
      make("pad_vjp", {x}, PadVjpAttributes{{0, 0, 1, 2}, {0, 0, 2, 1}, PadMode::reflect}),
      make("pad_vjp", {x}, PadVjpAttributes{{0, 0, 1, -1}, {0, 0, 2, 1}, PadMode::constant}),
      make("slice_vjp", {x}, SliceVjpAttributes{{2, 3}, {1, 12}, {7, -1}, {1, -2}, Shape{B, 2, 9, 13}}),
      make("resize", {x},
           ResizeAttributes{{9, 4}, {}, ResizeMode::linear, ResizeCoordinates::half_pixel, {}}),
      make("resize", {x},
           ResizeAttributes{
               {9, 4}, {}, ResizeMode::nearest, ResizeCoordinates::asymmetric, NearestRounding::floor}),
      make("resize_vjp", {x},
           ResizeVjpAttributes{both, {}, ResizeMode::linear, ResizeCoordinates::align_corners, {}, {3, 4}}),
      make("channel_window_sum", {x}, ChannelWindowAttributes{2, true}),
      make("gelu", {x}, GeluAttributes{GeluForm::tanh}),
      make("gather_rows", {rows, at}, GatherRowsAttributes{1}),
      make("scatter_rows", {make("gather_rows", {rows, at}, GatherRowsAttributes{1}), at},
           ScatterRowsAttributes{1, 5}),
      make("scatter_add", {rows, known}, ScatterAttributes{2, 6}),
      make("scatter_add", {rows, twice}, ScatterAttributes{2, 4}),
      make("cumsum", {rows}, CumsumAttributes{1, true, true}),
      make("top_index", {rows}, TopAttributes{1, 2, true}),
      make("quantile", {rows}, QuantileAttributes{0.4}),
      make("not_equal", {at, g.scalar(1, DType::int64)}),
      make("mod", {x, g.scalar(0.7)}),
      make("expand", {make("sum", {rows}, ReduceAttributes{{1}, true})}, ShapeAttributes{Shape{B, 4, 3}}),
  };
  // A fill of the batch's extent.
  outputs.push_back(
      make("add", {rows, g.apply(op("fill"), {}, FillAttributes{2, DType::float32, Shape{B, 5, 3}})}));
  Tensor places = Tensor::uninitialized(DType::int64, {3, 4});
  std::int64_t next = 0;
  for (std::int64_t& place : places.mutable_values<std::int64_t>()) place = (next += 3) % 5;
  const Inputs inputs{{"x", wavy({3, 2, 6, 7}, 1)},
                      {"z", wavy({3, 2, 6, 7}, 2)},
                      {"rows", wavy({3, 5, 3}, 3)},
                      {"at", places}};
  same_once_read(g, outputs, inputs);
  same_once_read(g, outputs, inputs, 18);
}
