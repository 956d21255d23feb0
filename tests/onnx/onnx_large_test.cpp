// Large graphs: what reading them costs.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/onnx_builder.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// x [N, 2] through so many nodes.
OnnxBuilder chain(int nodes) {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  std::string last = "x";
  for (int k = 0; k < nodes; ++k) {
    const std::string next = k + 1 == nodes ? "y" : "h" + std::to_string(k);
    b.node(k % 2 == 0 ? "Sigmoid" : "Tanh", {last}, {next}, "n" + std::to_string(k));
    last = next;
  }
  b.output("y");
  return b;
}

/// Seconds of processor time to read and compile a chain: the least of several.
double cost(int nodes) {
  const ScratchFile file("chain.onnx", chain(nodes).bytes());
  double best = INFINITY;
  for (int run = 0; run < 3; ++run) {
    const ThreadTimer timer;
    const Model model = load_onnx(file.path());
    const Expr y = model.outputs()[0].expr;
    const Program program = Program::compile({&y, 1});
    best = std::min(best, timer.seconds());
    REQUIRE(program.stats({}).instructions + program.stats({}).fused == static_cast<std::size_t>(nodes));
  }
  return best;
}

/// Many quantised values, each of which asks for the type of its zero point.
OnnxBuilder quantised(int nodes) {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.floats("scale", {}, {0.5F});
  std::string last = "x";
  for (int k = 0; k < nodes; ++k) {
    const std::string number = std::to_string(k);
    b.tensor("z" + number, {}, onnx::TensorProto::INT8).add_int32_data(k % 5);
    b.node("QuantizeLinear", {last, "scale", "z" + number}, {"q" + number});
    b.node("DequantizeLinear", {"q" + number, "scale", "z" + number}, {"d" + number});
    last = "d" + number;
  }
  b.node("Relu", {last}, {"y"});
  b.output("y");
  return b;
}

/// A chain of which each value is read by the output as well.
OnnxBuilder tapped(int nodes) {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  std::vector<std::string> all{"x"};
  for (int k = 0; k < nodes; ++k) {
    const std::string next = "h" + std::to_string(k);
    b.node(k % 2 == 0 ? "Sigmoid" : "Tanh", {all.back()}, {next});
    all.push_back(next);
  }
  auto& joined = b.node("Concat", all, {"y"});
  OnnxBuilder::set(joined, "axis", std::int64_t{1});
  b.output("y");
  return b;
}

/// A sum of so many terms, each with a factor of its own.
OnnxBuilder wide_sum(int nodes) {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  std::vector<std::string> terms;
  for (int k = 0; k < nodes; ++k) {
    const std::string number = std::to_string(k);
    b.floats("w" + number, {}, {1 + 0.001F * static_cast<float>(k)});
    b.node("Mul", {"x", "w" + number}, {"t" + number});
    terms.push_back("t" + number);
  }
  b.node("Sum", terms, {"y"});
  b.output("y");
  return b;
}

/// Seconds of processor time to read a file and to make an explainer of it.
double explained(const OnnxBuilder& builder) {
  const ScratchFile file("large.onnx", builder.bytes());
  const ThreadTimer timer;
  const Model model = load_onnx(file.path());
  const Explainer explainer(model, "gradient");
  return timer.seconds();
}

}  // namespace

TEST_CASE("explaining a quantised network grows with its nodes, not with their square") {
  // 8 if it grows with them, 64 with their square.
  CHECK(explained(quantised(16000)) < 28 * explained(quantised(2000)) + 0.5);
}

TEST_CASE("a network of which each value is read elsewhere too, and a wide sum, cost what their nodes do") {
  // 4 if it grows with them, 16 with their square.
  CHECK(explained(tapped(6000)) < 9 * explained(tapped(1500)) + 0.2);
  CHECK(explained(wide_sum(16000)) < 9 * explained(wide_sum(4000)) + 0.3);
}

TEST_CASE("reading and compiling a graph grows with its nodes, not with their square") {
  // 10 if it grows with them, 100 with their square.
  CHECK(cost(10000) < 35 * cost(1000));
}
