#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "onnx/onnx_cases.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

Model loaded(const OnnxBuilder& builder, const LoadOptions& options = {}) {
  const ScratchFile file("import.onnx", builder.bytes());
  return load_onnx(file.path(), options);
}

Tensor ramp(Dims dims) {
  Tensor x = Tensor::uninitialized(DType::float32, std::move(dims));
  const auto values = x.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 0.7F);
  return x;
}

Tensor run(const Model& model, const Tensor& x) {
  const Expr y = model.outputs()[0].expr;
  return evaluate(std::span(&y, 1), {{model.inputs()[0].name, x}})[0];
}

Tensor entry(const Tensor& batch, std::int64_t index) {
  Dims dims = batch.dims();
  dims[0] = 1;
  const auto size = static_cast<std::size_t>(element_count(dims));
  return Tensor(dims, batch.values<float>().subspan(static_cast<std::size_t>(index) * size, size));
}

/// Every entry of a batch gets what it gets alone.
void check_separable(const Model& model, const Tensor& batch) {
  const Tensor together = run(model, batch);
  REQUIRE(together.dims()[0] == batch.dims()[0]);
  for (std::int64_t i = 0; i < batch.dims()[0]; ++i)
    CHECK(first_difference(entry(together, i), run(model, entry(batch, i)), 1e-6, 1e-6) == "");
}

/// x [first, 2, 3] through a convolution over its last axis and a reshape to `target`, made from Shape or a
/// constant.
OnnxBuilder reshaping(std::int64_t first, const std::vector<std::int64_t>& target) {
  OnnxBuilder b;
  b.input("x", {first, 2, 3});
  b.floats("w", {4, 2, 1}, {1, 2, 3, 4, 5, 6, 7, 8});
  b.integers("target", {static_cast<std::int64_t>(target.size())}, target);
  b.node("Conv", {"x", "w"}, {"h"}, "first");
  b.node("Reshape", {"h", "target"}, {"y"});
  b.output("y");
  return b;
}

}  // namespace

TEST_CASE("a free first axis is the batch, and shape arithmetic follows it") {
  OnnxBuilder b;
  b.input("x", {-1, 2, 3});
  b.integers("zero", {}, {0});
  b.integers("axis0", {1}, {0});
  b.integers("rest", {1}, {-1});
  b.integers("two", {1}, {2});
  b.node("Shape", {"x"}, {"s"});
  b.node("Gather", {"s", "zero"}, {"n"});
  b.node("Unsqueeze", {"n", "axis0"}, {"n1"});
  b.node("Mul", {"n1", "two"}, {"n2"});
  b.node("Concat", {"n2", "rest"}, {"target"}).add_attribute()->set_name("axis");
  b.model.mutable_graph()->mutable_node(4)->mutable_attribute(0)->set_type(onnx::AttributeProto::INT);
  b.node("Reshape", {"x", "target"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  CHECK(model.inputs()[0].expr.shape() == Shape{B, 2, 3});
  CHECK(model.outputs()[0].expr.shape() == Shape{Dim(2, true), 3});
  CHECK(run(model, ramp({5, 2, 3})).dims() == Dims{10, 3});
}

TEST_CASE("a batch extent that is used as a number is counted when the model runs") {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.integers("zero", {}, {0});
  b.node("Shape", {"x"}, {"s"});
  b.node("Gather", {"s", "zero"}, {"n"});
  auto& cast = b.node("Cast", {"n"}, {"f"});
  OnnxBuilder::set(cast, "to", std::int64_t{1});
  b.node("Div", {"x", "f"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  const Tensor y = run(model, Tensor({4, 2}, {4.F, 8.F, 12.F, 16.F, 20.F, 24.F, 28.F, 32.F}));
  CHECK(first_difference(y, Tensor({4, 2}, {1.F, 2.F, 3.F, 4.F, 5.F, 6.F, 7.F, 8.F}), 1e-6, 0) == "");
}

TEST_CASE("a model exported for one sample runs for many, each for itself") {
  for (const std::vector<std::int64_t>& target : std::vector<std::vector<std::int64_t>>{
           {1, 12}, {1, -1}, {-1, 12}, {0, -1}, {1, 2, 6}, {2, -1}, {4, 3}}) {
    INFO(to_string(std::span<const std::int64_t>(target)));
    const OnnxBuilder b = reshaping(1, target);
    const Model model = loaded(b);
    CHECK(model.inputs()[0].expr.shape() == Shape{B, 2, 3});
    CHECK(model.inputs()[0].declared == "float[1, 2, 3]");
    CHECK(model.notes().size() == 1);
    const Tensor x = ramp({1, 2, 3});
    const Model fixed = loaded(b, {.batch = BatchPolicy::fixed});
    CHECK(fixed.inputs()[0].expr.shape() == Shape{1, 2, 3});
    CHECK(first_difference(run(model, x), run(fixed, x), 1e-6, 1e-6) == "");
    if (target[0] == 1 || target[0] == -1 || target[0] == 0) check_separable(model, ramp({3, 2, 3}));
  }
}

TEST_CASE("a free batch keeps its strict meaning: the rest of a reshape to [1, -1] holds it") {
  const Model model = loaded(reshaping(-1, {1, -1}));
  CHECK(model.outputs()[0].expr.shape() == Shape{1, Dim(12, true)});
}

TEST_CASE("a model that would mix samples keeps the batch it was exported with") {
  const auto mixing = [](const std::string& what) {
    OnnxBuilder b;
    b.input("x", {1, 3});
    b.integers("axes", {1}, {0});
    b.floats("c", {1, 1}, {1});
    if (what == "reduce") {
      b.node("ReduceSum", {"x", "axes"}, {"y"}, "mix");
    } else if (what == "all") {
      b.node("ReduceMax", {"x"}, {"y"}, "mix");
    } else if (what == "softmax") {
      OnnxBuilder::set(b.node("Softmax", {"x"}, {"y"}, "mix"), "axis", std::int64_t{0});
    } else if (what == "flatten") {
      OnnxBuilder::set(b.node("Flatten", {"x"}, {"y"}, "mix"), "axis", std::int64_t{0});
    } else if (what == "transpose") {
      b.node("Transpose", {"x"}, {"y"}, "mix");
    } else if (what == "matmul") {
      b.node("Transpose", {"x"}, {"t"});
      b.node("MatMul", {"t", "x"}, {"y"}, "mix");
    } else {
      b.node("Squeeze", {"x"}, {"y"}, "mix");
    }
    b.output("y");
    return b;
  };
  for (const char* what : {"reduce", "all", "softmax", "flatten", "transpose", "matmul", "squeeze"}) {
    INFO(what);
    const Model model = loaded(mixing(what));
    CHECK(model.inputs()[0].expr.shape() == Shape{1, 3});
    REQUIRE(model.notes().size() == 1);
    CHECK(model.notes()[0].find("the batch size stays") != std::string::npos);
    CHECK_THROWS_AS((void)loaded(mixing(what), {.batch = BatchPolicy::symbolic}), Error);
  }
}

TEST_CASE("a batch that the file leaves free is no sample by itself where a constant holds several") {
  const auto added = [](std::int64_t held, bool twice) {
    OnnxBuilder b;
    b.input("x", {-1, 3});
    b.floats("c", {held, 3}, std::vector<float>(static_cast<std::size_t>(3 * held), 1));
    b.floats("half", {1}, {0.5});
    if (twice) b.node("Mul", {"x", "half"}, {"y"});
    b.node("Add", {"x", "c"}, {twice ? "z" : "y"}, "sum");
    b.output("y");
    if (twice) b.output("z");
    return b;
  };
  // Each sample would meet all rows, and the answer would hold so many times the samples.
  for (const std::int64_t held : {2, 5})
    CHECK_THROWS_WITH_AS((void)loaded(added(held, false)),
                         doctest::Contains("--dim N=EXTENT, LoadOptions::extents[\"N\"]"), Error);
  const Model two = loaded(added(2, false), {.extents = {{"N", 2}}});
  CHECK(run(two, ramp({2, 3})).dims() == Dims{2, 3});
  CHECK(loaded(added(1, false)).inputs()[0].expr.shape() == Shape{B, 3});
  // What does not need it stays.
  const Model first = loaded(added(2, true));
  REQUIRE(first.outputs().size() == 1);
  CHECK(first.outputs()[0].name == "y");
  CHECK(std::ranges::any_of(
      first.notes(), [](const std::string& note) { return note.starts_with("output 'z' is left out: "); }));
}

TEST_CASE("what is joined to a batch of one is repeated for every sample") {
  OnnxBuilder b;
  b.input("x", {1, 2, 3});
  b.floats("token", {1, 1, 3}, {7, 8, 9});
  OnnxBuilder::set(b.node("Concat", {"token", "x"}, {"y"}), "axis", std::int64_t{1});
  b.output("y");
  const Model model = loaded(b);
  CHECK(model.outputs()[0].expr.shape() == Shape{B, 3, 3});
  check_separable(model, ramp({3, 2, 3}));
}

TEST_CASE("free axes beside the batch are asked for by name") {
  OnnxBuilder b;
  b.input("tokens", {-1, -1}, onnx::TensorProto::INT64);
  b.floats("table", {4, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  b.node("Gather", {"table", "tokens"}, {"y"});
  b.output("y");
  CHECK_THROWS_WITH_AS((void)loaded(b), doctest::Contains("extents[\"axis1\"]"), Error);
  const Model model = loaded(b, {.extents = {{"axis1", 3}}});
  CHECK(model.outputs()[0].expr.shape() == Shape{B, 3, 2});
}

TEST_CASE("MatMul and Add of a constant are one dense layer, and zeros are no bias") {
  const auto layer = [](const std::vector<float>& bias, const std::vector<std::int64_t>& bias_dims) {
    OnnxBuilder b;
    b.input("x", {-1, 5, 2});
    b.floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    b.floats("b", bias_dims, bias);
    b.node("MatMul", {"x", "w"}, {"product"}, "linear");
    b.node("Add", {"b", "product"}, {"y"}, "shift");
    b.output("y");
    return b;
  };
  const Model model = loaded(layer({1, 2, 3}, {3}));
  const Expr y = model.outputs()[0].expr;
  REQUIRE(y.is("dense"));
  CHECK(y.operand(1).is("constant"));
  CHECK(y.operand(1).shape() == Shape{3, 2});
  CHECK(y.operand(2).shape() == Shape{3});
  CHECK(model.graph().find("linear").back() == y);
  CHECK(model.graph().find("shift").back() == y);
  const Tensor x({1, 5, 2}, {1.F, 0.F, 0.F, 1.F, 1.F, 1.F, 2.F, 0.F, 0.F, 0.F});
  CHECK(first_difference(
            run(model, x),
            Tensor({1, 5, 3}, {2.F, 4.F, 6.F, 5.F, 7.F, 9.F, 6.F, 9.F, 12.F, 3.F, 6.F, 9.F, 1.F, 2.F, 3.F}),
            1e-6, 0) == "");
  const Model unbiased = loaded(layer({0, 0, 0}, {1, 1, 3}));
  const Expr bare = unbiased.outputs()[0].expr;
  REQUIRE(bare.is("dense"));
  CHECK(is_zero(bare.operand(2)));
  CHECK(bare.operand(2).shape().rank() == 0);
  // A map over the positions is no bias of the layer.
  const Model mapped = loaded(layer(std::vector<float>(15, 1), {5, 3}));
  CHECK(mapped.outputs()[0].expr.is("add"));
}

TEST_CASE("a product that is also read elsewhere keeps its own layer") {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.floats("w", {2, 2}, {1, 2, 3, 4});
  b.floats("b", {2}, {1, 1});
  b.node("MatMul", {"x", "w"}, {"h"});
  b.node("Add", {"h", "b"}, {"z"});
  b.node("Mul", {"z", "h"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  const auto operands = model.outputs()[0].expr.operands();
  CHECK(std::any_of(operands.begin(), operands.end(), [](Expr e) { return e.is("add"); }));
}

TEST_CASE("convolution and Add of one constant a channel are one layer") {
  OnnxBuilder b;
  b.input("x", {-1, 1, 3});
  b.floats("w", {2, 1, 1}, {1, 2});
  b.floats("b", {2, 1}, {5, 6});
  b.node("Conv", {"x", "w"}, {"h"});
  b.node("Add", {"h", "b"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  REQUIRE(model.outputs()[0].expr.is("conv"));
  CHECK(first_difference(run(model, Tensor({1, 1, 3}, {1.F, 2.F, 3.F})),
                         Tensor({1, 2, 3}, {6.F, 7.F, 8.F, 8.F, 10.F, 12.F}), 1e-6, 0) == "");
}

TEST_CASE("Gemm folds alpha, beta and transposes into its constants") {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  b.floats("c", {1, 3}, {2, 4, 6});
  auto& gemm = b.node("Gemm", {"x", "w", "c"}, {"y"});
  for (const auto& [name, value] : {std::pair{"alpha", 2.F}, std::pair{"beta", 0.5F}}) {
    auto& a = *gemm.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::FLOAT);
    a.set_f(value);
  }
  b.output("y");
  const Model model = loaded(b);
  const Expr y = model.outputs()[0].expr;
  REQUIRE(y.is("dense"));
  CHECK(y.operand(1).is("constant"));
  CHECK(y.operand(2).shape() == Shape{3});
  CHECK(first_difference(run(model, Tensor({1, 2}, {1.F, -1.F})), Tensor({1, 3}, {-5.F, -4.F, -3.F}), 1e-6,
                         0) == "");
}

TEST_CASE("the head of a classifier is the logit below its softmax, in the shape of the output") {
  OnnxBuilder b(7);
  b.input("x", {1, 4, 1, 1});
  b.floats("w", {3, 4, 1, 1}, std::vector<float>(12, 0.5F));
  b.node("Conv", {"x", "w"}, {"logits"});
  b.node("Softmax", {"logits"}, {"p"});
  b.node("Flatten", {"p"}, {"y"});
  b.output("y");
  const Model model = loaded(b);
  const Expr logit = model.head(HeadKind::logit);
  CHECK(model.head(HeadKind::probability) == model.outputs()[0].expr);
  CHECK(logit.shape() == Shape{B, 3});
  CHECK(logit.operand(0).is("conv"));
  CHECK_THROWS_AS((void)model.head(HeadKind::logit, 1), Error);
  OnnxBuilder plain;
  plain.input("x", {-1, 2});
  plain.node("Relu", {"x"}, {"y"});
  plain.output("y");
  const Model relu = loaded(plain);
  CHECK(relu.head(HeadKind::logit) == relu.outputs()[0].expr);
}

TEST_CASE(
    "float16, bfloat16, double and integer weights arrive with their values, from raw bytes and from "
    "fields") {
  OnnxBuilder b;
  b.input("x", {-1, 3});
  auto& half = b.tensor("half", {3}, onnx::TensorProto::FLOAT16);
  const std::vector<std::uint16_t> halves{0x3C00, 0xC000, 0x3555};  // 1, -2, about 1/3
  half.set_raw_data(halves.data(), 6);
  auto& brain = b.tensor("brain", {3}, onnx::TensorProto::BFLOAT16);
  for (const int bits : {0x3F80, 0x4040, 0xBF00}) brain.add_int32_data(bits);  // 1, 3, -0.5
  auto& wide = b.tensor("wide", {3}, onnx::TensorProto::DOUBLE);
  for (const double v : {0.25, -8.0, 1e-3}) wide.add_double_data(v);
  auto& bytes = b.tensor("bytes", {3}, onnx::TensorProto::UINT8);
  bytes.set_raw_data("\x01\x80\xff", 3);
  auto& cast = b.node("Cast", {"bytes"}, {"bytes_f"});
  OnnxBuilder::set(cast, "to", std::int64_t{1});
  b.node("Sum", {"half", "brain", "wide", "bytes_f", "x"}, {"y"});
  b.output("y");
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Model model = loaded(b, {.dtype = dtype});
    CHECK(model.outputs()[0].expr.dtype() == dtype);
    const Tensor y = run(model, Tensor(dtype, {1, 3}));
    CHECK(y.at(0) == doctest::Approx(1 + 1 + 0.25 + 1));
    CHECK(y.at(1) == doctest::Approx(-2 + 3 - 8 + 128));
    CHECK(y.at(2) == doctest::Approx(0.333251953125 - 0.5 + 1e-3 + 255));
  }
}

TEST_CASE("values and nodes of the file are found by their names") {
  const Model model = loaded(reshaping(-1, {0, 12}));
  const auto conv = model.graph().find("first");
  REQUIRE(conv.size() == 1);
  CHECK(conv[0].is("conv"));
  CHECK(model.graph().find("h") == conv);
  REQUIRE(model.graph().find("w").size() == 1);
  CHECK(model.graph().find("w")[0].is("constant"));
  CHECK(model.graph().find("y")[0] == model.outputs()[0].expr);
}

TEST_CASE("inspection tells of everything, mapped or not") {
  OnnxBuilder b = reshaping(-1, {0, 12});
  b.model.set_producer_name("maker");
  b.node("StringNormalizer", {"y"}, {"l"}, "memory");
  b.node("Reelu", {"l"}, {"r"});
  b.node("Fused", {"r"}, {"f"}, "fast").set_domain("com.example");
  b.model.mutable_graph()->mutable_output(0)->set_name("f");
  const ScratchFile file("inspect.onnx", b.bytes());
  const ModelSummary summary = inspect_onnx(file.path());
  CHECK(summary.producer == "maker");
  CHECK(summary.opset == 13);
  REQUIRE(summary.inputs.size() == 1);
  CHECK(summary.inputs[0].type == "float[N, 2, 3]");
  CHECK(summary.operators.at("Conv") == 1);
  CHECK(summary.parameters == 8 + 2);
  CHECK(summary.parameter_bytes == 8 * 4 + 2 * 8);
  CHECK(summary.unmapped.size() == 3);
  CHECK(summary.unmapped.at("StringNormalizer") == std::vector<std::string>{"'memory'"});
  CHECK(summary.nearest.at("Reelu") == "Relu");
  CHECK(summary.unmapped.contains("com.example.Fused"));
  CHECK_THROWS_WITH_AS((void)load_onnx(file.path()), doctest::Contains("nearest supported: Relu"), Error);
  CHECK_THROWS_WITH_AS((void)load_onnx(file.path()), doctest::Contains("'memory'"), Error);
}

TEST_CASE("the digest is of the file's bytes") {
  OnnxBuilder b = reshaping(-1, {0, 12});
  const ScratchFile one("digest1.onnx", b.bytes()), two("digest2.onnx", b.bytes());
  const std::string digest = load_onnx(one.path()).digest();
  CHECK(digest.size() == 16);
  CHECK(load_onnx(two.path()).digest() == digest);
  b.model.set_doc_string("changed");
  two.write(b.bytes());
  CHECK(load_onnx(two.path()).digest() != digest);
}
