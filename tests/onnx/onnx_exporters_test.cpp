// Spellings of exporters that a network of the zoo brought up.
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

std::vector<double> answers(const OnnxBuilder& builder, const Tensor& x, DType dtype = DType::float64) {
  const ScratchFile file("exporters.onnx", builder.bytes());
  const Model model = load_onnx(file.path(), {.dtype = dtype});
  const Expr y = model.outputs().at(0).expr;
  const Tensor result = evaluate(std::span(&y, 1), {{"x", x.cast(dtype)}})[0];
  std::vector<double> values;
  for (std::int64_t i = 0; i < result.size(); ++i) values.push_back(result.at(i));
  return values;
}

Tensor real(Dims dims, std::vector<double> values) {
  return Tensor(std::move(dims), std::span<const double>(values));
}

}  // namespace

TEST_CASE(
    "probabilities of one class against the rest are put right where all of them are 0, as skl2onnx writes "
    "it") {
  OnnxBuilder b(18);
  b.input("x", {-1, 3});
  b.floats("minus", {}, {-1});
  b.floats("one", {}, {1});
  b.floats("classes", {}, {3});
  b.integers("axis", {1}, {1});
  b.node("Mul", {"x", "minus"}, {"negated"});
  b.node("Exp", {"negated"}, {"power"});
  b.node("Add", {"power", "one"}, {"below"});
  b.node("Reciprocal", {"below"}, {"p"});
  b.node("ReduceSum", {"p", "axis"}, {"sum"});
  OnnxBuilder::set(b.node("Cast", {"sum"}, {"any"}), "to", std::int64_t{onnx::TensorProto::BOOL});
  b.node("Not", {"any"}, {"none"});
  OnnxBuilder::set(b.node("Cast", {"none"}, {"lack"}), "to", std::int64_t{onnx::TensorProto::FLOAT});
  b.node("Add", {"p", "lack"}, {"above"});
  b.node("Mul", {"lack", "classes"}, {"rest"});
  b.node("Add", {"sum", "rest"}, {"whole"});
  b.node("Div", {"above", "whole"}, {"y"});
  b.output("y");
  const std::vector<double> values = answers(b, real({2, 3}, {0, 1, -2, -800, -900, -1000}));
  const double p[] = {0.5, 1 / (1 + std::exp(-1.0)), 1 / (1 + std::exp(2.0))}, sum = p[0] + p[1] + p[2];
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(values[i] == doctest::Approx(p[i] / sum).epsilon(1e-12));
    CHECK(values[3 + i] == doctest::Approx(1.0 / 3).epsilon(1e-12));
  }
}

TEST_CASE("weights that are standardised by a batch norm in training mode are constants; a batch is not") {
  // w [1, 2, 3]: two filters of three numbers, each less its mean and over its deviation.
  OnnxBuilder b(17);
  b.input("x", {-1, 3});
  b.floats("w", {1, 2, 3}, {1, 2, 6, -1, 0, 1});
  b.floats("scale", {2}, {1, 2});
  b.floats("shift", {2}, {0, 0.5});
  b.floats("mean", {2}, {0, 0});
  b.floats("variance", {2}, {1, 1});
  b.integers("shape", {2}, {2, 3});
  auto& norm = b.node("BatchNormalization", {"w", "scale", "shift", "mean", "variance"},
                      {"normal", "kept_mean", "kept_variance"});
  OnnxBuilder::set(norm, "training_mode", std::int64_t{1});
  b.node("Reshape", {"normal", "shape"}, {"weights"});
  OnnxBuilder::set(b.node("Gemm", {"x", "weights"}, {"h"}), "transB", std::int64_t{1});
  b.node("Add", {"h", "kept_mean"}, {"k"});
  b.node("Add", {"k", "kept_variance"}, {"y"});
  b.output("y");
  const std::vector<double> values = answers(b, real({1, 3}, {1, -1, 2}));
  // Means 3 and 0, variances 14/3 and 2/3; what is kept is 0.9 of the old and 0.1 of these.
  const double first = (-2 + 1 + 2 * 3) / std::sqrt(14.0 / 3 + 1e-5),
               second = 2 * (-1 - 0 + 2) / std::sqrt(2.0 / 3 + 1e-5) + 0.5 * (1 - 1 + 2);
  CHECK(values[0] == doctest::Approx(first + 0.3 + 0.9 + 0.1 * 14 / 3).epsilon(1e-9));
  CHECK(values[1] == doctest::Approx(second + 0.9 + 0.1 * 2 / 3).epsilon(1e-9));

  OnnxBuilder mixed(17);
  mixed.input("x", {-1, 2, 3});
  for (const char* name : {"scale", "shift", "mean", "variance"}) mixed.floats(name, {2}, {1, 1});
  OnnxBuilder::set(mixed.node("BatchNormalization", {"x", "scale", "shift", "mean", "variance"}, {"y"}),
                   "training_mode", std::int64_t{1});
  mixed.output("y");
  CHECK_THROWS_WITH_AS((void)answers(mixed, real({1, 2, 3}, {1, 2, 3, 4, 5, 6})),
                       doctest::Contains("training mode is not supported"), Error);
}

TEST_CASE("an end of 1000000000 takes the whole batch, as exporters of TensorFlow write it") {
  OnnxBuilder b(13);
  b.input("x", {-1, 3});
  b.integers("starts", {2}, {0, 1});
  b.integers("ends", {2}, {1000000000, 1000000000});
  b.integers("axes", {2}, {0, 1});
  b.node("Slice", {"x", "starts", "ends", "axes"}, {"y"});
  b.output("y");
  CHECK(answers(b, real({2, 3}, {1, 2, 3, 4, 5, 6})) == std::vector<double>{2, 3, 5, 6});
}

TEST_CASE("a mask of the smallest float64 is the smallest float32 where a network computes in it") {
  // The row that is masked throughout shares alike, in either type.
  OnnxBuilder b(17);
  b.input("x", {-1, 2}, onnx::TensorProto::DOUBLE);
  b.tensor("low", {}, onnx::TensorProto::DOUBLE).add_double_data(std::numeric_limits<double>::lowest());
  b.tensor("zero", {}, onnx::TensorProto::DOUBLE).add_double_data(0);
  b.node("Less", {"x", "zero"}, {"hidden"});
  b.node("Where", {"hidden", "low", "x"}, {"h"});
  OnnxBuilder::set(b.node("Softmax", {"h"}, {"y"}), "axis", std::int64_t{1});
  b.output("y");
  for (const DType dtype : {DType::float32, DType::float64})
    CHECK(answers(b, real({2, 2}, {-1, -2, -1, 3}), dtype) == std::vector<double>{0.5, 0.5, 0, 1});
}

TEST_CASE("a row that is masked throughout with -inf is no number, and the error says where to look") {
  OnnxBuilder b(17);
  b.input("x", {-1, 2});
  b.floats("low", {}, {-std::numeric_limits<float>::infinity()});
  b.floats("zero", {}, {0});
  b.floats("w", {2, 2}, {1, 2, 3, 4});
  b.node("Less", {"x", "zero"}, {"hidden"});
  b.node("Where", {"hidden", "low", "x"}, {"h"});
  OnnxBuilder::set(b.node("Softmax", {"h"}, {"p"}), "axis", std::int64_t{1});
  b.node("MatMul", {"p", "w"}, {"y"});
  b.output("y");
  CHECK(answers(b, real({1, 2}, {-1, 3})) == std::vector<double>{3, 4});
  CHECK_THROWS_WITH_AS((void)answers(b, real({1, 2}, {-1, -2})),
                       doctest::Contains("a row that is masked throughout with -inf"), Error);
}

TEST_CASE("Col2Im adds patches up, with strides, dilations and padding") {
  // Two channels of [4, 5] from blocks of [2, 3], as a plain loop over patches.
  constexpr std::int64_t channels = 2, height = 4, width = 5, tall = 2, broad = 3, down = 2, right = 1,
                         pad = 1;
  constexpr std::int64_t spread = 2;  // dilation of the second axis
  constexpr std::int64_t rows = (height + 2 * pad - (tall - 1) - 1) / down + 1,
                         columns = (width + 2 * pad - spread * (broad - 1) - 1) / right + 1;
  OnnxBuilder b(18);
  b.input("x", {-1, channels * tall * broad, rows * columns});
  b.integers("image", {2}, {height, width});
  b.integers("block", {2}, {tall, broad});
  auto& node = b.node("Col2Im", {"x", "image", "block"}, {"y"});
  OnnxBuilder::set(node, "strides", std::vector<std::int64_t>{down, right});
  OnnxBuilder::set(node, "dilations", std::vector<std::int64_t>{1, spread});
  OnnxBuilder::set(node, "pads", std::vector<std::int64_t>{pad, pad, pad, pad});
  b.output("y");
  constexpr std::int64_t samples = 2, count = channels * tall * broad * rows * columns;
  std::vector<double> x, expected(samples * channels * height * width);
  for (std::int64_t i = 0; i < samples * count; ++i) x.push_back(std::sin(static_cast<double>(i)));
  std::size_t at = 0;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < tall; ++p)
        for (std::int64_t q = 0; q < broad; ++q)
          for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j, ++at) {
              const std::int64_t row = i * down + p - pad, column = j * right + q * spread - pad;
              if (row >= 0 && row < height && column >= 0 && column < width)
                expected[static_cast<std::size_t>(((n * channels + c) * height + row) * width + column)] +=
                    x[at];
            }
  const std::vector<double> values = answers(b, real({samples, channels * tall * broad, rows * columns}, x));
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(values[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}
