// Support vector machines of ai.onnx.ml against plain loops, and shifts of whole numbers.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::size_t features = 3, samples = 5;

std::vector<double> waves(std::size_t count, double at) {
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(static_cast<float>(std::sin(at += 1.7)));
  return values;
}

void floats(onnx::NodeProto& node, const std::string& name, const std::vector<double>& values) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::FLOATS);
  for (const double v : values) a.add_floats(static_cast<float>(v));
}

void text(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::STRING);
  a.set_s(value);
}

double kernel(const std::string& type, std::span<const double> x, std::span<const double> s,
              const std::vector<double>& parameters) {
  double dot = 0, away = 0;
  for (std::size_t i = 0; i < features; ++i) {
    dot += x[i] * s[i];
    away += (x[i] - s[i]) * (x[i] - s[i]);
  }
  if (type == "LINEAR") return dot;
  if (type == "RBF") return std::exp(-parameters[0] * away);
  const double inner = parameters[0] * dot + parameters[1];
  return type == "POLY" ? std::pow(inner, parameters[2]) : std::tanh(inner);
}

struct Loaded {
  Model model;
  std::vector<Tensor> values;
};

Loaded answers(const OnnxBuilder& b, const Tensor& x) {
  const ScratchFile file("svm.onnx", b.bytes());
  Model model = load_onnx(file.path().string(), {.dtype = DType::float64});
  std::vector<Expr> outputs;
  for (const auto& output : model.outputs()) outputs.push_back(output.expr);
  std::vector<Tensor> values = Program::compile(outputs).run({{model.inputs()[0].name, x}});
  return {std::move(model), std::move(values)};
}

Tensor batch() {
  const std::vector<double> x = waves(samples * features, 0.4);
  return Tensor({static_cast<std::int64_t>(samples), static_cast<std::int64_t>(features)},
                std::span<const double>(x));
}

}  // namespace

TEST_CASE("support vector regression is a sum over kernels") {
  const Tensor x = batch();
  const std::vector<double> parameters{0.5, 0.25, 3};
  for (const std::string type : {"LINEAR", "POLY", "RBF", "SIGMOID"})
    for (const bool one_class : {false, true}) {
      CAPTURE(type);
      CAPTURE(one_class);
      const std::size_t supports = 4;
      const std::vector<double> vectors = waves(supports * features, 2.1), w = waves(supports, 5.2);
      OnnxBuilder b(17);
      b.input("x", {-1, features});
      auto& node = b.node("SVMRegressor", {"x"}, {"y"});
      node.set_domain("ai.onnx.ml");
      OnnxBuilder::set(node, "n_supports", static_cast<std::int64_t>(supports));
      if (one_class) OnnxBuilder::set(node, "one_class", std::int64_t{1});
      floats(node, "support_vectors", vectors);
      floats(node, "coefficients", w);
      floats(node, "kernel_params", parameters);
      floats(node, "rho", {-0.125});
      text(node, "kernel_type", type);
      b.output("y");
      const Tensor y = answers(b, x).values.at(0);
      for (std::size_t n = 0; n < samples; ++n) {
        double expected = -0.125;
        for (std::size_t s = 0; s < supports; ++s)
          expected += w[s] * kernel(type, x.values<double>().subspan(n * features, features),
                                    std::span(vectors).subspan(s * features, features), parameters);
        if (one_class) expected = expected > 0 ? 1 : -1;
        CHECK(y.at(static_cast<std::int64_t>(n)) == doctest::Approx(expected).epsilon(1e-12));
      }
    }
}

TEST_CASE("support vector classification lets pairs of classes vote") {
  const Tensor x = batch();
  const std::vector<double> parameters{0.75, 0, 3};
  for (const std::vector<std::int64_t>& per_class :
       {std::vector<std::int64_t>{2, 3}, std::vector<std::int64_t>{2, 1, 3}})
    for (const bool probabilities : {false, true}) {
      const std::size_t classes = per_class.size(), pairs = classes * (classes - 1) / 2;
      if (probabilities && classes > 2) continue;
      CAPTURE(classes);
      CAPTURE(probabilities);
      std::size_t supports = 0;
      std::vector<std::size_t> begin;
      for (const std::int64_t count : per_class) {
        begin.push_back(supports);
        supports += static_cast<std::size_t>(count);
      }
      const std::vector<double> vectors = waves(supports * features, 2.1),
                                w = waves((classes - 1) * supports, 5.2), rho = waves(pairs, 1.1);
      OnnxBuilder b(17);
      b.input("x", {-1, features});
      auto& node = b.node("SVMClassifier", {"x"}, {"label", "scores"});
      node.set_domain("ai.onnx.ml");
      OnnxBuilder::set(node, "vectors_per_class", per_class);
      OnnxBuilder::set(node, "classlabels_ints",
                       classes == 2 ? std::vector<std::int64_t>{7, 9} : std::vector<std::int64_t>{7, 9, 11});
      floats(node, "support_vectors", vectors);
      floats(node, "coefficients", w);
      floats(node, "kernel_params", parameters);
      floats(node, "rho", rho);
      text(node, "kernel_type", "RBF");
      if (probabilities) {
        floats(node, "prob_a", {-1.5});
        floats(node, "prob_b", {0.25});
      }
      b.output("label");
      b.output("scores");
      const Loaded got = answers(b, x);
      for (std::size_t n = 0; n < samples; ++n) {
        std::vector<double> k, scores, votes(classes, 0);
        for (std::size_t s = 0; s < supports; ++s)
          k.push_back(kernel("RBF", x.values<double>().subspan(n * features, features),
                             std::span(vectors).subspan(s * features, features), parameters));
        for (std::size_t i = 0; i < classes; ++i)
          for (std::size_t j = i + 1; j < classes; ++j) {
            double s = rho[scores.size()];
            for (std::size_t v = 0; v < static_cast<std::size_t>(per_class[i]); ++v)
              s += w[(j - 1) * supports + begin[i] + v] * k[begin[i] + v];
            for (std::size_t v = 0; v < static_cast<std::size_t>(per_class[j]); ++v)
              s += w[i * supports + begin[j] + v] * k[begin[j] + v];
            scores.push_back(s);
            votes[s > 0 ? i : j] += 1;
          }
        const auto winner =
            static_cast<std::size_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
        CHECK(got.values.at(0).at(static_cast<std::int64_t>(n)) == std::vector<double>{7, 9, 11}[winner]);
        std::vector<double> expected = scores;
        if (probabilities) {
          const double p = 1 - 1 / (1 + std::exp(-(-1.5 * scores[0] + 0.25)));
          expected = {p, 1 - p};
        } else if (classes == 2) {
          expected = {-scores[0], scores[0]};
        }
        for (std::size_t i = 0; i < expected.size(); ++i)
          CHECK(got.values.at(1).at(static_cast<std::int64_t>(n * expected.size() + i)) ==
                doctest::Approx(expected[i]).epsilon(1e-12));
      }
    }
}

TEST_CASE("probabilities of three classes are refused with what to do") {
  OnnxBuilder b(17);
  b.input("x", {-1, 1});
  auto& node = b.node("SVMClassifier", {"x"}, {"label", "scores"});
  node.set_domain("ai.onnx.ml");
  OnnxBuilder::set(node, "vectors_per_class", std::vector<std::int64_t>{1, 1, 1});
  OnnxBuilder::set(node, "classlabels_ints", std::vector<std::int64_t>{0, 1, 2});
  floats(node, "support_vectors", {1, 2, 3});
  floats(node, "coefficients", {1, 2, 3, 4, 5, 6});
  floats(node, "rho", {0, 0, 0});
  floats(node, "prob_a", {1, 1, 1});
  floats(node, "prob_b", {1, 1, 1});
  b.output("scores");
  const ScratchFile file("svm3.onnx", b.bytes());
  CHECK_THROWS_WITH(load_onnx(file.path().string()), doctest::Contains("probability=False"));
}

TEST_CASE("shifts of whole numbers multiply and divide by powers of two") {
  OnnxBuilder b(17);
  b.input("x", {-1, 4}, onnx::TensorProto::UINT8);
  auto& places = b.tensor("places", {4}, onnx::TensorProto::UINT8);
  for (const int n : {0, 1, 3, 7}) places.add_int32_data(n);
  text(b.node("BitShift", {"x", "places"}, {"left"}), "direction", "LEFT");
  text(b.node("BitShift", {"x", "places"}, {"right"}), "direction", "RIGHT");
  b.output("left");
  b.output("right");
  const std::vector<std::uint8_t> x{1, 200, 77, 255};
  const Loaded got = answers(b, Tensor({1, 4}, std::span<const std::uint8_t>(x)));
  const int by[] = {0, 1, 3, 7};
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(got.values.at(0).at(i) ==
          static_cast<double>(static_cast<std::uint8_t>(x[static_cast<std::size_t>(i)] << by[i])));
    CHECK(got.values.at(1).at(i) == static_cast<double>(x[static_cast<std::size_t>(i)] >> by[i]));
  }
}

TEST_CASE(
    "shifts know how many bits a number has in the file, up to the sign bit of the type that holds it") {
  OnnxBuilder b(17);
  b.input("x", {-1, 3}, onnx::TensorProto::INT64);
  const std::int64_t by = 32;
  b.tensor("places", {}, onnx::TensorProto::UINT64).add_uint64_data(static_cast<std::uint64_t>(by));
  b.tensor("four", {}, onnx::TensorProto::UINT32).add_uint64_data(4);
  const auto cast = [&](const char* from, const char* to, int type) {
    OnnxBuilder::set(b.node("Cast", {from}, {to}), "to", std::int64_t{type});
  };
  cast("x", "wide", onnx::TensorProto::UINT64);
  cast("x", "narrow", onnx::TensorProto::UINT32);
  text(b.node("BitShift", {"wide", "places"}, {"high"}), "direction", "RIGHT");
  text(b.node("BitShift", {"narrow", "four"}, {"left"}), "direction", "LEFT");
  cast("high", "high64", onnx::TensorProto::INT64);
  cast("left", "left64", onnx::TensorProto::INT64);
  b.output("high64");
  b.output("left64");
  const std::vector<std::int64_t> x{std::int64_t{0x7FFFFFFFFFFFFFFF}, -1,
                                    std::numeric_limits<std::int64_t>::min() + 5};
  const Loaded got = answers(b, Tensor({1, 3}, std::span<const std::int64_t>(x)));
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(got.values.at(0).at(i) ==
          static_cast<double>(static_cast<std::uint64_t>(x[static_cast<std::size_t>(i)]) >> by));
  const std::vector<std::int64_t> small{0x0FFFFFFF, 0xF0000001, 3};
  const Loaded left = answers(b, Tensor({1, 3}, std::span<const std::int64_t>(small)));
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(left.values.at(1).at(i) ==
          static_cast<double>(static_cast<std::uint32_t>(small[static_cast<std::size_t>(i)]) << 4U));
}
