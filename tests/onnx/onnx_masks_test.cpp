// Where NaN and infinities of a model end: in masked softmaxes, in guards, in what nobody reads; and indices
// that hold the numbers of the samples.
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

Model loaded(const OnnxBuilder& builder, DType dtype = DType::float64) {
  const ScratchFile file("masks.onnx", builder.bytes());
  LoadOptions options;
  options.dtype = dtype;
  return load_onnx(file.path(), options);
}

std::string refusal(const OnnxBuilder& builder) {
  try {
    (void)loaded(builder);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Tensor real(Dims dims, std::vector<double> values) {
  return Tensor(std::move(dims), std::span<const double>(values));
}

std::vector<double> list(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  return values;
}

std::vector<double> run(const Model& model, const Inputs& inputs) {
  const Expr y = model.outputs()[0].expr;
  return list(evaluate(std::span(&y, 1), inputs)[0]);
}

/// Scores [N, keys] with a mask added, softmax, and NaN of rows without a key replaced by 0 if `guarded`.
OnnxBuilder attention(const std::vector<float>& mask, bool guarded) {
  OnnxBuilder b(20);
  const auto keys = static_cast<std::int64_t>(mask.size());
  b.input("x", {-1, keys});
  b.floats("mask", {1, keys}, mask);
  b.floats("zero", {}, {0});
  b.node("Add", {"x", "mask"}, {"s"});
  OnnxBuilder::set(b.node("Softmax", {"s"}, {guarded ? "p" : "y"}), "axis", std::int64_t{-1});
  if (guarded) {
    b.node("IsNaN", {"p"}, {"bad"});
    b.node("Where", {"bad", "zero", "p"}, {"y"});
  }
  b.output("y");
  return b;
}

/// Which operators a model's first output depends on.
bool holds(const Model& model, const char* op_name) {
  const Expr y = model.outputs()[0].expr;
  for (const Expr e : topological_order(std::span(&y, 1)))
    if (e.is(op_name)) return true;
  return false;
}

}  // namespace

TEST_CASE("-inf in a constant mask ends in the softmax behind it and needs no flag") {
  for (const bool guarded : {false, true}) {
    const Model model = loaded(attention({0, -inf, 0}, guarded));
    const double e = std::exp(1.0), sum = 1 + e;
    const auto y = run(model, {{"x", real({1, 3}, {1, 5, 2})}});
    CHECK(y[0] == doctest::Approx(1 / sum));
    CHECK(y[1] == 0);
    CHECK(y[2] == doctest::Approx(e / sum));
    // Some key is open in every row: nothing is left of the guard.
    CHECK_FALSE(holds(model, "where"));
  }
}

TEST_CASE("DeepLIFT of a masked softmax is that of the keys that are open, and the hidden one has no share") {
  // Scores of -inf in its middle are refused unless values that are not finite are asked to pass.
  const auto map = [](const OnnxBuilder& network, const char* method, const Tensor& x) {
    return Explainer(loaded(network), method, {.head = HeadKind::probability, .check_finite = false})
        .run(x)
        .attribution(0);
  };
  for (const bool guarded : {false, true})
    for (const char* method : {"deeplift.rescale", "deeplift.reveal_cancel"}) {
      INFO(method);
      const Tensor masked = map(attention({0, -inf, 0}, guarded), method, real({1, 3}, {1, 5, 2}));
      const Tensor open = map(attention({0, 0}, guarded), method, real({1, 2}, {1, 2}));
      CHECK(masked.at(0) == doctest::Approx(open.at(0)).epsilon(1e-12));
      CHECK(masked.at(1) == 0);
      CHECK(masked.at(2) == doctest::Approx(open.at(1)).epsilon(1e-12));
      CHECK(masked.at(0) + masked.at(2) ==
            doctest::Approx(std::exp(1.0) / (1 + std::exp(1.0)) - 0.5).epsilon(1e-12));
    }
}

TEST_CASE("a guarded row without a key is 0, and its gradient too") {
  OnnxBuilder b(20);
  b.input("x", {-1, 2});
  b.input("open", {-1, 2}, onnx::TensorProto::BOOL);
  b.floats("zero", {}, {0});
  b.floats("hidden", {}, {-inf});
  b.node("Where", {"open", "zero", "hidden"}, {"mask"});
  b.node("Add", {"x", "mask"}, {"s"});
  OnnxBuilder::set(b.node("Softmax", {"s"}, {"p"}), "axis", std::int64_t{-1});
  b.node("IsNaN", {"p"}, {"bad"});
  b.node("Where", {"bad", "zero", "p"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  Tensor open(DType::boolean, {2, 2});
  open.mutable_values<bool>()[0] = open.mutable_values<bool>()[1] = true;
  const Expr y = model.outputs()[0].expr, x = model.inputs()[0].expr,
             seed = model.graph().input("seed", y.type());
  std::vector<Expr> wanted{y, gradient(y, std::span(&x, 1), seed)[0]};
  const auto results = evaluate(
      wanted, {{"x", real({2, 2}, {0, 0, 3, 4})}, {"open", open}, {"seed", real({2, 2}, {1, 0, 1, 0})}});
  CHECK(list(results[0]) == std::vector<double>{0.5, 0.5, 0, 0});
  CHECK(list(results[1]) == std::vector<double>{0.25, -0.25, 0, 0});
}

TEST_CASE("a guard that can never hold goes: plain vision transformers keep their softmax") {
  const Model model = loaded(attention({0, 0, 0}, true));
  CHECK(model.outputs()[0].expr.is("softmax"));
}

TEST_CASE("NaN and infinity are refused where they can reach an answer, and nowhere else") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  b.floats("w", {2}, {1, 2});
  b.floats("unused", {2}, {nan, 1});
  b.node("Mul", {"x", "w"}, {"y"});
  b.output("y");
  CHECK(run(loaded(b), {{"x", real({1, 2}, {3, 4})}}) == std::vector<double>{3, 8});

  OnnxBuilder reaches(17);
  reaches.input("x", {-1, 2});
  reaches.floats("w", {2}, {1, nan});
  reaches.node("Mul", {"x", "w"}, {"h"});
  reaches.node("Exp", {"h"}, {"y"});
  reaches.output("y");
  const std::string message = refusal(reaches);
  CHECK(message.find("tensor 'w' of shape [2] holds nan at [1]") != std::string::npos);
  CHECK(message.find("--allow-non-finite") != std::string::npos);

  // 0 times infinity would be NaN: a mask that is multiplied is no mask.
  OnnxBuilder product(17);
  product.input("x", {-1, 2});
  product.floats("w", {2}, {-inf, 1});
  product.node("Mul", {"x", "w"}, {"h"});
  OnnxBuilder::set(product.node("Softmax", {"h"}, {"y"}), "axis", std::int64_t{-1});
  product.output("y");
  CHECK(refusal(product).find("tensor 'w' of shape [2] holds -inf at [0]") != std::string::npos);
}

TEST_CASE("constants may be the largest integer") {
  OnnxBuilder b(17);
  b.input("x", {-1, 4});
  OnnxBuilder::set(b.node("Constant", {}, {"most"}), "value_int", std::numeric_limits<std::int64_t>::max());
  b.integers("one", {1}, {1});
  b.node("Reshape", {"most", "one"}, {"end"});
  b.node("Slice", {"x", "one", "end", "one", "one"}, {"y"});
  b.output("y");
  CHECK(run(loaded(b), {{"x", real({1, 4}, {1, 2, 3, 4})}}) == std::vector<double>{2, 3, 4});
}

TEST_CASE("indices that hold the numbers of the samples look within each sample, whatever the batch") {
  // mask[arange(B)[:, None], [2, 0]] as GatherND, and the same by flat positions.
  for (const bool flat : {false, true}) {
    OnnxBuilder b(17);
    b.input("x", {-1, 3});
    b.integers("zero", {}, {0});
    b.integers("one", {}, {1});
    b.integers("axis1", {1}, {1});
    b.integers("places", {1, 2}, {2, 0});
    b.integers("three", {}, {3});
    b.integers("last", {1}, {-1});
    b.integers("rows", {2}, {-1, 1});
    b.node("Shape", {"x"}, {"s"});
    b.node("Gather", {"s", "zero"}, {"n"});
    b.node("Range", {"zero", "n", "one"}, {"samples"});
    b.node("Unsqueeze", {"samples", "axis1"}, {"column"});
    if (flat) {
      b.node("Reshape", {"x", "last"}, {"all"});
      b.node("Mul", {"column", "three"}, {"starts"});
      b.node("Add", {"starts", "places"}, {"at"});
      b.node("Gather", {"all", "at"}, {"y"});
    } else {
      b.node("Max", {"column", "places"}, {"both"});
      b.node("Shape", {"both"}, {"shape"});
      b.node("Expand", {"column", "shape"}, {"wide"});
      b.node("Expand", {"places", "shape"}, {"wide2"});
      b.node("Unsqueeze", {"wide", "last"}, {"first"});
      b.node("Unsqueeze", {"wide2", "last"}, {"second"});
      OnnxBuilder::set(b.node("Concat", {"first", "second"}, {"at"}), "axis", std::int64_t{-1});
      b.node("GatherND", {"x", "at"}, {"y"});
    }
    b.output("y");
    INFO("flat ", flat);
    const Model model = loaded(b);
    CHECK(to_string(model.outputs()[0].expr.shape()) == "[B, 2]");
    CHECK(run(model, {{"x", real({2, 3}, {1, 2, 3, 4, 5, 6})}}) == std::vector<double>{3, 1, 6, 4});
    CHECK(run(model, {{"x", real({1, 3}, {7, 8, 9})}}) == std::vector<double>{9, 7});
  }
}

TEST_CASE("an answer that holds the number of the sample is not freed of its batch") {
  OnnxBuilder b(17);
  b.input("x", {-1, 3});
  b.integers("zero", {}, {0});
  b.integers("one", {}, {1});
  b.node("Shape", {"x"}, {"s"});
  b.node("Gather", {"s", "zero"}, {"n"});
  b.node("Range", {"zero", "n", "one"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  REQUIRE(model.notes().size() == 1);
  CHECK(model.notes()[0].find("depends on the place of a sample in its batch") != std::string::npos);
}

TEST_CASE("scattering is what index_add does, and gradients reach data and updates") {
  // y = data with updates added at rows 2, 0, 2, as torch's index_add is exported.
  OnnxBuilder b(18);
  b.input("data", {3, 2});
  b.input("updates", {3, 2});
  b.integers("at", {3, 1}, {2, 0, 2});
  auto& node = b.node("ScatterND", {"data", "at", "updates"}, {"y"});
  auto& reduction = *node.add_attribute();
  reduction.set_name("reduction");
  reduction.set_type(onnx::AttributeProto::STRING);
  reduction.set_s("add");
  b.output("y");
  const Model model = loaded(b);
  const Expr y = model.outputs()[0].expr;
  std::vector<Expr> xs{model.inputs()[0].expr, model.inputs()[1].expr};
  const Expr seed = model.graph().input("seed", y.type());
  std::vector<Expr> wanted{y};
  for (const Expr g : gradient(y, xs, seed)) wanted.push_back(g);
  const auto results = evaluate(wanted, {{"data", real({3, 2}, {1, 1, 1, 1, 1, 1})},
                                         {"updates", real({3, 2}, {1, 2, 3, 4, 5, 6})},
                                         {"seed", real({3, 2}, {1, 2, 3, 4, 5, 6})}});
  CHECK(list(results[0]) == std::vector<double>{4, 5, 1, 1, 7, 9});
  CHECK(list(results[1]) == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(list(results[2]) == std::vector<double>{5, 6, 1, 2, 5, 6});
}

TEST_CASE("values of TopK carry gradients to where they come from") {
  OnnxBuilder b(17);
  b.input("x", {-1, 4});
  b.integers("k", {1}, {2});
  b.node("TopK", {"x", "k"}, {"y", "i"});
  b.output("y");
  b.output("i");
  const Model model = loaded(b);
  const Expr y = model.outputs()[0].expr, x = model.inputs()[0].expr,
             seed = model.graph().input("seed", y.type());
  std::vector<Expr> wanted{y, model.outputs()[1].expr, gradient(y, std::span(&x, 1), seed)[0]};
  const auto results = evaluate(
      wanted, {{"x", real({2, 4}, {1, 7, 3, 5, 2, 2, 1, 0})}, {"seed", real({2, 2}, {10, 20, 30, 40})}});
  CHECK(list(results[0]) == std::vector<double>{7, 5, 2, 2});
  CHECK(list(results[1]) == std::vector<double>{1, 3, 0, 1});
  CHECK(list(results[2]) == std::vector<double>{0, 10, 0, 20, 30, 40, 0, 0});
}

TEST_CASE("functions inside a model are put where they are called") {
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  auto& function = *b.model.add_functions();
  function.set_domain("own");
  function.set_name("Twice");
  function.add_input("a");
  function.add_output("c");
  function.add_attribute("slope");
  auto& leaky = *function.add_node();
  leaky.set_op_type("LeakyRelu");
  leaky.set_name("leaky");
  leaky.add_input("a");
  leaky.add_output("h");
  auto& alpha = *leaky.add_attribute();
  alpha.set_name("alpha");
  alpha.set_type(onnx::AttributeProto::FLOAT);
  alpha.set_ref_attr_name("slope");
  auto& sum = *function.add_node();
  sum.set_op_type("Add");
  sum.add_input("h");
  sum.add_input("h");
  sum.add_output("c");
  const auto call = [&](const char* in, const char* out, const char* name, float slope) {
    auto& node = b.node("Twice", {in}, {out}, name);
    node.set_domain("own");
    auto& value = *node.add_attribute();
    value.set_name("slope");
    value.set_type(onnx::AttributeProto::FLOAT);
    value.set_f(slope);
  };
  call("x", "h", "first", 0.5F);
  call("h", "y", "second", 0.25F);
  b.output("y");
  const Model model = loaded(b);
  CHECK(run(model, {{"x", real({1, 2}, {3, -2})}}) == std::vector<double>{12, -1});
  CHECK(model.graph().find("second/leaky").size() == 1);

  // One that calls itself is refused.
  auto& again = *function.add_node();
  again.set_op_type("Twice");
  again.set_domain("own");
  again.add_input("h");
  again.add_output("h2");
  CHECK(refusal(b).find("calls itself") != std::string::npos);
}

TEST_CASE("trees answer as they do and have no derivative, which gradients say") {
  // One tree: x0 <= 1 ? 10 : (x1 < 2 ? 20 : 30), and one that is the leaf 0.5.
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  auto& node = b.node("TreeEnsembleRegressor", {"x"}, {"y"});
  node.set_domain("ai.onnx.ml");
  const auto ints = [&](const char* name, const std::vector<std::int64_t>& values) {
    OnnxBuilder::set(node, name, values);
  };
  ints("nodes_treeids", {0, 0, 0, 0, 0, 1});
  ints("nodes_nodeids", {0, 1, 2, 3, 4, 0});
  ints("nodes_featureids", {0, 0, 1, 0, 0, 0});
  ints("nodes_truenodeids", {1, 0, 3, 0, 0, 0});
  ints("nodes_falsenodeids", {2, 0, 4, 0, 0, 0});
  ints("target_treeids", {0, 0, 0, 1});
  ints("target_nodeids", {1, 3, 4, 0});
  ints("target_ids", {0, 0, 0, 0});
  const auto floats = [&](const char* name, const std::vector<float>& values) {
    auto& a = *node.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::FLOATS);
    for (const float v : values) a.add_floats(v);
  };
  floats("nodes_values", {1, 0, 2, 0, 0, 0});
  floats("target_weights", {10, 20, 30, 0.5F});
  auto& modes = *node.add_attribute();
  modes.set_name("nodes_modes");
  modes.set_type(onnx::AttributeProto::STRINGS);
  for (const char* mode : {"BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "LEAF"})
    modes.add_strings(mode);
  b.output("y");
  const Model model = loaded(b);
  CHECK(run(model, {{"x", real({4, 2}, {1, 9, 2, 1, 2, 2, 0, 0})}}) ==
        std::vector<double>{10.5, 20.5, 30.5, 10.5});
  const Expr y = model.outputs()[0].expr, x = model.inputs()[0].expr,
             seed = model.graph().input("seed", y.type());
  CHECK_THROWS_WITH_AS((void)gradient(y, std::span(&x, 1), seed),
                       doctest::Contains("[tree_ensemble] has no derivative"), Error);
}

TEST_CASE(
    "quantised layers are real arithmetic: rounded answers, and gradients that pass the rounding until a "
    "value saturates") {
  OnnxBuilder b(19);
  b.input("x", {-1, 3});
  b.floats("scale", {}, {0.5F});
  b.tensor("zero", {}, onnx::TensorProto::UINT8).add_int32_data(10);
  b.node("QuantizeLinear", {"x", "scale", "zero"}, {"q"});
  b.node("DequantizeLinear", {"q", "scale", "zero"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  const Expr y = model.outputs()[0].expr, x = model.inputs()[0].expr,
             seed = model.graph().input("seed", y.type());
  std::vector<Expr> wanted{y, gradient(y, std::span(&x, 1), seed)[0]};
  const auto results =
      evaluate(wanted, {{"x", real({1, 3}, {1.3, -0.2, 1000})}, {"seed", real({1, 3}, {1, 2, 3})}});
  CHECK(list(results[0]) == std::vector<double>{1.5, 0, 122.5});
  CHECK(list(results[1]) == std::vector<double>{1, 2, 0});
}
