#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "onnx/onnx_cases.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

Tensor wavy(Dims dims, double shift) {
  Tensor t = Tensor::uninitialized(DType::float32, std::move(dims));
  float at = static_cast<float>(shift);
  for (float& v : t.mutable_values<float>()) v = 0.3F * std::sin(at += 0.7F);
  return t;
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A convolutional classifier with every kind of layer that trained examples have.
Expr classifier(Graph& g) {
  const Expr x = g.input("x", {DType::float32, Shape{B, 2, 8, 8}});
  const auto weight = [&](Dims dims, double shift) { return g.constant(wavy(std::move(dims), shift)); };
  Expr h = g.apply(op("conv"), {x, weight({4, 2, 3, 3}, 1), weight({4}, 2)},
                   ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
  h = g.apply(
      op("batch_norm"),
      {h, weight({4}, 3), weight({4}, 4), weight({4}, 5), g.constant(Tensor::full(DType::float32, {4}, 0.5))},
      BatchNormAttributes{1e-3, 1});
  h = g.apply(op("relu"), {h});
  const Expr branch =
      g.apply(op("conv"), {h, weight({4, 1, 3, 3}, 6)}, ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 4});
  h = g.apply(op("add"), {h, g.apply(op("leaky_relu"), {branch}, LeakyReluAttributes{0.2})});
  h = g.apply(op("max_pool"), {h}, PoolAttributes{{2, 2}, {2, 2}, {}, {}, {}, false});
  h = g.apply(op("clip"), {h}, ClipAttributes{-1, 6});
  h = g.apply(op("avg_pool"), {h}, AvgPoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {}, false, true});
  h = g.apply(op("reshape"), {h}, ShapeAttributes{Shape{B, 16}});
  h = g.apply(op("dense"), {h, weight({5, 16}, 7), weight({5}, 8)});
  return g.apply(op("softmax"), {g.apply(op("dense"), {g.apply(op("tanh"), {h}), weight({3, 5}, 9)})},
                 AxisAttributes{1});
}

}  // namespace

TEST_CASE("a network that was written reads back as the same network") {
  Graph g;
  const Expr y = classifier(g);
  const ScratchFile file("saved.onnx");
  save_onnx(file.path(), std::span(&y, 1), {.output_names = {"probabilities"}, .labels = {"a", "b", "c d"}});
  const Model model = load_onnx(file.path());
  CHECK(model.outputs()[0].name == "probabilities");
  CHECK(model.labels() == std::vector<std::string>{"a", "b", "c d"});
  CHECK(model.inputs()[0].expr.shape() == Shape{B, 2, 8, 8});
  CHECK(model.notes().empty());
  const Expr read = model.outputs()[0].expr;
  CHECK(topological_order(std::span(&read, 1)).size() == topological_order(std::span(&y, 1)).size());
  const Inputs x{{"x", wavy({3, 2, 8, 8}, 10)}};
  CHECK(identical(evaluate(std::span(&read, 1), x)[0], evaluate(std::span(&y, 1), x)[0]));
}

TEST_CASE("equal graphs give equal bytes, whatever else they hold") {
  const ScratchFile one("same1.onnx"), two("same2.onnx"), three("same3.onnx");
  Graph a, b;
  (void)b.apply(op("exp"), {b.scalar(3)});
  const Expr ya = classifier(a), yb = classifier(b);
  save_onnx(one.path(), std::span(&ya, 1));
  save_onnx(two.path(), std::span(&yb, 1));
  CHECK(bytes_of(one.path()) == bytes_of(two.path()));
  const Model model = load_onnx(one.path());
  const Expr y = model.outputs()[0].expr;
  save_onnx(two.path(), std::span(&y, 1));
  const Model again = load_onnx(two.path());
  const Expr z = again.outputs()[0].expr;
  save_onnx(three.path(), std::span(&z, 1));
  CHECK(bytes_of(two.path()) == bytes_of(three.path()));
}

TEST_CASE("dense layers over more than one leading axis are written as product and sum") {
  Graph g;
  const Expr x = g.input("x", {DType::float32, Shape{B, 4, 2}});
  const Expr y = g.apply(op("dense"), {x, g.constant(wavy({3, 2}, 1)), g.constant(wavy({3}, 2))});
  const ScratchFile file("dense3.onnx");
  save_onnx(file.path(), std::span(&y, 1));
  const Model model = load_onnx(file.path());
  const Expr read = model.outputs()[0].expr;
  CHECK(read.is("dense"));
  const Inputs in{{"x", wavy({2, 4, 2}, 3)}};
  CHECK(first_difference(evaluate(std::span(&read, 1), in)[0], evaluate(std::span(&y, 1), in)[0], 1e-6,
                         1e-7) == "");
}

TEST_CASE("operators without a counterpart are listed, and nothing is written") {
  Graph g;
  const Expr x = g.input("x", {DType::float32, Shape{B, 4}});
  const Expr y = g.apply(op("relu"), {g.apply(op("conv_weight_grad"),
                                              {g.apply(op("reshape"), {x}, ShapeAttributes{Shape{B, 1, 4}}),
                                               g.apply(op("reshape"), {x}, ShapeAttributes{Shape{B, 2, 2}})},
                                              ConvWeightGradAttributes{{1}, {0}, {0}, {1}, 1, {3}})});
  const auto path = std::filesystem::temp_directory_path() / "rulegrad_never_written.onnx";
  std::filesystem::remove(path);
  CHECK_THROWS_WITH_AS(
      save_onnx(path, std::span(&y, 1)),
      doctest::Contains(
          "conv_weight_grad %3 float32[2, 1, 3] (it is what a weight gets, summed over the batch)"),
      Error);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE(
    "activations and norms are single nodes from the operator set on that has them, and read back as "
    "themselves") {
  struct Case {
    const char* op;
    Attributes attributes;
    const char* onnx;
    std::int64_t since;
    bool raised = true;
  };
  constexpr std::int64_t nowhere = 99;
  const Case cases[] = {
      {"softsign", {}, "Softsign", 1},
      {"hardswish", {}, "HardSwish", 14},
      {"mish", {}, "Mish", 18},
      {"gelu", GeluAttributes{}, "Gelu", 20},
      {"gelu", GeluAttributes{GeluForm::tanh}, "Gelu", 20},
      {"quick_gelu", QuickGeluAttributes{}, "QuickGelu", nowhere},
      {"quick_gelu", QuickGeluAttributes{0.7}, "QuickGelu", nowhere, false},
      {"selu", SeluAttributes{}, "Selu", 6},
      {"rms_norm", LayerNormAttributes{2, 1e-3}, "RMSNormalization", 23},
      {"rms_norm", LayerNormAttributes{1, 1e-3}, "RMSNormalization", 23},
      {"lp_normalize", LpNormalizeAttributes{1, 2}, "LpNormalization", 1},
      {"lp_normalize", LpNormalizeAttributes{2, 1}, "LpNormalization", 1},
      {"lp_normalize", LpNormalizeAttributes{2, 2, 1e-3}, "LpNormalization", nowhere},
      {"lp_normalize", LpNormalizeAttributes{1, 2, 0, 0.5}, "LpNormalization", nowhere},
      {"lp_normalize", LpNormalizeAttributes{2, 1, 1e-3, 0.5}, "LpNormalization", nowhere, false}};
  for (const Case& one : cases)
    for (const std::int64_t opset : {13, 14, 17, 18, 20, 23}) {
      CAPTURE(one.op);
      CAPTURE(opset);
      Graph g;
      std::vector<Expr> operands{g.input("x", {DType::float32, Shape{B, 3, 4}})};
      if (std::string_view(one.op) == "rms_norm")
        operands.push_back(
            g.constant(one.attributes.as<LayerNormAttributes>().axis == 1 ? wavy({3, 4}, 2) : wavy({4}, 2)));
      const Expr y = g.apply(op(one.op), operands, one.attributes);
      const ScratchFile file("single.onnx");
      save_onnx(file.path(), std::span(&y, 1), {.opset = opset});
      onnx::ModelProto written;
      REQUIRE(written.ParseFromString(bytes_of(file.path())));
      const auto& nodes = written.graph().node();
      const bool single = std::any_of(nodes.begin(), nodes.end(), [&](const onnx::NodeProto& node) {
        return node.op_type() == one.onnx;
      });
      CHECK(single == (opset >= one.since));
      const Model model = load_onnx(file.path());
      const Expr read = model.outputs()[0].expr;
      if (one.raised) CHECK(read.op().name == one.op);
      const Inputs x{{"x", wavy({2, 3, 4}, 3)}};
      CHECK(first_difference(evaluate(std::span(&read, 1), x)[0], evaluate(std::span(&y, 1), x)[0], 1e-5,
                             1e-6) == "");
    }
}
