// What is read of a file: outputs that need what is missing, narrow numbers, names of modules, batches that a
// file fixed.
#include <cmath>
#include <doctest/doctest.h>
#include <numbers>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

Model loaded(const OnnxBuilder& builder, const LoadOptions& options = {.dtype = DType::float64}) {
  const ScratchFile file("reading.onnx", builder.bytes());
  return load_onnx(file.path(), options);
}

Tensor real(Dims dims, std::vector<double> values) {
  return Tensor(std::move(dims), std::span<const double>(values));
}

std::vector<double> run(const Model& model, const Inputs& inputs, std::size_t output = 0) {
  const Expr y = model.outputs().at(output).expr;
  const Tensor result = evaluate(std::span(&y, 1), inputs)[0];
  std::vector<double> values;
  for (std::int64_t i = 0; i < result.size(); ++i) values.push_back(result.at(i));
  return values;
}

}  // namespace

TEST_CASE("what only a later output needs may be missing: the output is left out, and a note says why") {
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  b.node("Relu", {"x"}, {"y"});
  b.node("NoSuchThing", {"x"}, {"h"}, "odd");
  b.node("Neg", {"h"}, {"z"});
  b.node("NeitherThis", {"x"}, {"nobody"});
  b.node("Neg", {"x"}, {"w"});
  for (const char* name : {"y", "z", "w"}) b.output(name);
  const Model model = loaded(b);
  REQUIRE(model.outputs().size() == 2);
  CHECK(model.outputs()[1].name == "w");
  CHECK(run(model, {{"x", real({1, 2}, {1, -2})}}) == std::vector<double>{1, 0});
  REQUIRE(model.notes().size() == 1);
  CHECK(model.notes()[0].find("output 'z' is left out") != std::string::npos);
  CHECK(model.notes()[0].find("NoSuchThing 'odd'") != std::string::npos);

  // The first output needs it: the model is refused.
  OnnxBuilder first(17);
  first.input("x", {-1, 2});
  first.node("NoSuchThing", {"x"}, {"y"});
  first.node("Relu", {"x"}, {"z"});
  first.output("y");
  first.output("z");
  CHECK_THROWS_WITH_AS((void)loaded(first), doctest::Contains("1x NoSuchThing"), Error);
}

TEST_CASE("integers of four and two bits and floats of eight are read as what they mean") {
  const auto values = [](int type, const std::string& bytes, std::int64_t count) {
    OnnxBuilder b(23);
    b.input("x", {-1, count});
    b.tensor("w", {count}, type).set_raw_data(bytes);
    b.floats("scale", {}, {0.5F});
    b.node("DequantizeLinear", {"w", "scale"}, {"d"});
    b.node("Mul", {"x", "d"}, {"y"});
    b.output("y");
    return run(loaded(b), {{"x", real({1, count}, std::vector<double>(static_cast<std::size_t>(count), 2))}});
  };
  // Two to a byte, the first in the low half.
  CHECK(values(22, std::string("\x71\x8f", 2), 3) == std::vector<double>{1, 7, -1});
  CHECK(values(21, std::string("\x71\x0f", 2), 3) == std::vector<double>{1, 7, 15});
  CHECK(values(26, std::string("\xb1", 1), 4) == std::vector<double>{1, 0, -1, -2});
  CHECK(values(25, std::string("\xb1", 1), 4) == std::vector<double>{1, 0, 3, 2});

  OnnxBuilder b(23);
  b.input("x", {-1, 4});
  // E4M3FN: 1, -1.5, the largest, the smallest above 0 (OCP 8-bit floating point, table 2).
  b.tensor("w", {4}, 17).set_raw_data(std::string("\x38\xbc\x7e\x01", 4));
  b.node("Mul", {"x", "w"}, {"y"});
  b.output("y");
  CHECK(run(loaded(b), {{"x", real({1, 4}, {1, 1, 1, 1})}}) ==
        std::vector<double>{1, -1.5, 448, std::ldexp(1.0, -9)});
}

TEST_CASE("modules that the exporter notes are names of what they give") {
  OnnxBuilder b(20);
  b.input("x", {-1, 2});
  b.floats("w", {2, 2}, {1, 2, 3, 4});
  auto& first = b.node("MatMul", {"x", "w"}, {"a"}, "node_1");
  auto& second = b.node("Relu", {"a"}, {"y"}, "node_2");
  // metadata_props, field 9 of a node, which this message format does not know.
  const auto note = [](onnx::NodeProto& node, const std::string& scopes) {
    onnx::StringStringEntryProto entry;
    entry.set_key("pkg.torch.onnx.name_scopes");
    entry.set_value(scopes);
    node.GetReflection()->MutableUnknownFields(&node)->AddLengthDelimited(9, entry.SerializeAsString());
  };
  note(first, "['', 'net', 'net.linear', 'matmul']");
  note(second, "['', 'net', 'net.act', 'relu']");
  b.output("y");
  const Model model = loaded(b);
  REQUIRE(model.graph().find("net.linear").size() == 1);
  CHECK(model.graph().find("net.linear")[0].is("dense"));
  CHECK(model.graph().find("net")[0] == model.outputs()[0].expr);
}

TEST_CASE("Tile repeats what has no batch as often as there are samples") {
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  b.floats("w", {1, 2}, {5, 7});
  b.integers("zero", {1}, {0});
  b.integers("one", {1}, {1});
  b.node("Shape", {"x"}, {"s"});
  b.node("Slice", {"s", "zero", "one"}, {"n"});
  auto& join = b.node("Concat", {"n", "one"}, {"repeats"});
  OnnxBuilder::set(join, "axis", std::int64_t{0});
  b.node("Tile", {"w", "repeats"}, {"all"});
  b.node("Add", {"x", "all"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  CHECK(to_string(model.outputs()[0].expr.shape()) == "[B, 2]");
  CHECK(run(model, {{"x", real({2, 2}, {1, 2, 3, 4})}}) == std::vector<double>{6, 9, 8, 11});
}

TEST_CASE("a batch of two that a file fixed is freed where each sample is computed by itself") {
  OnnxBuilder b(17);
  b.input("x", {2, 3});
  b.floats("same", {2, 1, 3}, {1, 2, 3, 1, 2, 3});
  b.floats("w", {3, 2}, {1, 0, 0, 1, 1, 1});
  b.integers("pairs", {3}, {2, 1, 3});
  b.integers("rows", {2}, {2, 3});
  b.node("Reshape", {"x", "pairs"}, {"r"});
  b.node("Mul", {"r", "same"}, {"m"});
  b.node("Reshape", {"m", "rows"}, {"f"});
  b.node("MatMul", {"f", "w"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  CHECK(to_string(model.outputs()[0].expr.shape()) == "[B, 2]");
  CHECK(run(model, {{"x", real({3, 3}, {1, 1, 1, 2, 0, 0, 0, 0, 1})}}) ==
        std::vector<double>{4, 5, 2, 0, 3, 3});
  REQUIRE(model.notes().size() == 1);
  CHECK(model.notes()[0] == "exported for batch size 2; the first axis of its inputs is read as the batch");

  // Constants that differ between the samples keep it fixed, and so does what adds samples up.
  OnnxBuilder differs(17);
  differs.input("x", {2, 3});
  differs.floats("own", {2, 3}, {1, 2, 3, 4, 5, 6});
  differs.node("Mul", {"x", "own"}, {"y"});
  differs.output("y");
  CHECK(to_string(loaded(differs).outputs()[0].expr.shape()) == "[2, 3]");
  OnnxBuilder mixes(17);
  mixes.input("x", {2, 2});
  mixes.node("MatMul", {"x", "x"}, {"y"});
  mixes.output("y");
  CHECK(to_string(loaded(mixes).outputs()[0].expr.shape()) == "[2, 2]");
}

TEST_CASE("Fourier transforms are sums of waves") {
  OnnxBuilder b(17);
  b.input("x", {-1, 5, 1});
  OnnxBuilder::set(b.node("DFT", {"x"}, {"y"}), "axis", std::int64_t{1});
  b.output("y");
  const std::vector<double> x{1, -2, 0.5, 3, 0};
  const auto y = run(loaded(b), {{"x", real({1, 5, 1}, x)}});
  for (int k = 0; k < 5; ++k) {
    double re = 0, im = 0;
    for (int n = 0; n < 5; ++n) {
      re += x[static_cast<std::size_t>(n)] * std::cos(2 * std::numbers::pi * k * n / 5);
      im -= x[static_cast<std::size_t>(n)] * std::sin(2 * std::numbers::pi * k * n / 5);
    }
    CHECK(y[static_cast<std::size_t>(2 * k)] == doctest::Approx(re));
    CHECK(y[static_cast<std::size_t>(2 * k + 1)] == doctest::Approx(im));
  }
}

TEST_CASE("what onnxruntime fused is read by the same table: activations of products, quick-GELU, RMS norm") {
  const auto close = [](const std::vector<double>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  };
  const std::vector<double> x{-2, 0.25, 1, 3};
  const auto one = [&](const std::string& type, const std::vector<std::pair<std::string, float>>& numbers) {
    OnnxBuilder b(17);
    b.input("x", {-1, 4});
    auto& node = b.node(type, {"x"}, {"y"}, "f");
    node.set_domain("com.microsoft");
    for (const auto& [name, value] : numbers) {
      auto& attribute = *node.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::FLOAT);
      attribute.set_f(value);
    }
    b.output("y");
    return loaded(b);
  };
  for (const float alpha : {1.702F, 0.5F}) {
    const Model model = one("QuickGelu", {{"alpha", alpha}});
    CHECK(model.outputs()[0].expr.is("quick_gelu"));
    std::vector<double> expected;
    for (const double v : x) expected.push_back(v / (1 + std::exp(-static_cast<double>(alpha) * v)));
    close(run(model, {{"x", real({1, 4}, x)}}), expected);
  }
  const auto fused = [&](const std::string& activation,
                         const std::vector<std::pair<std::string, float>>& numbers) {
    OnnxBuilder b(17);
    b.input("x", {-1, 4});
    b.floats("w", {4, 4}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
    auto& node = b.node("FusedGemm", {"x", "w"}, {"y"}, "f");
    node.set_domain("com.microsoft");
    auto& name = *node.add_attribute();
    name.set_name("activation");
    name.set_type(onnx::AttributeProto::STRING);
    name.set_s(activation);
    for (const auto& [key, value] : numbers) {
      auto& attribute = *node.add_attribute();
      attribute.set_name(key);
      attribute.set_type(onnx::AttributeProto::FLOAT);
      attribute.set_f(value);
    }
    b.output("y");
    return loaded(b);
  };
  close(run(fused("LeakyRelu", {{"activation_alpha", 0.5F}}), {{"x", real({1, 4}, x)}}), {-1, 0.25, 1, 3});
  close(run(fused("HardSigmoid", {{"activation_alpha", 0.25F}, {"activation_beta", 0.5F}}),
            {{"x", real({1, 4}, x)}}),
        {0, 0.5625, 0.75, 1});
  close(run(fused("Softsign", {}), {{"x", real({1, 4}, x)}}), {-2.0 / 3, 0.2, 0.5, 0.75});
  CHECK_THROWS_WITH_AS(fused("Sub", {}), doctest::Contains("the activation 'Sub' is not supported"), Error);

  OnnxBuilder b(17);
  b.input("x", {-1, 4});
  b.floats("scale", {4}, {1, 2, 3, 4});
  b.node("SimplifiedLayerNormalization", {"x", "scale"}, {"y"}, "n").set_domain("com.microsoft");
  b.output("y");
  const Model model = loaded(b);
  CHECK(model.outputs()[0].expr.is("rms_norm"));
  const double root = std::sqrt((4 + 0.0625 + 1 + 9) / 4 + 1e-5);
  close(run(model, {{"x", real({1, 4}, x)}}), {-2 / root, 0.5 / root, 3 / root, 12 / root});
}
