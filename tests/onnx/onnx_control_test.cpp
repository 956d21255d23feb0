// Loop, If, Scan and sequences whose trip counts and conditions are known when a model is read.
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "onnx/onnx_cases.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

onnx::NodeProto& add_node(onnx::GraphProto& graph, const std::string& op,
                          const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  auto& node = *graph.add_node();
  node.set_op_type(op);
  for (const auto& name : inputs) node.add_input(name);
  for (const auto& name : outputs) node.add_output(name);
  return node;
}

onnx::GraphProto& body_of(onnx::NodeProto& node, const std::string& name,
                          const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::GRAPH);
  auto& graph = *attribute.mutable_g();
  graph.set_name(name);
  for (const auto& input : inputs) graph.add_input()->set_name(input);
  for (const auto& output : outputs) graph.add_output()->set_name(output);
  return graph;
}

Tensor run(const OnnxBuilder& builder, const Tensor& x, std::size_t output = 0) {
  const ScratchFile file("control.onnx", builder.bytes());
  LoadOptions options;
  options.dtype = DType::float64;
  const Model model = load_onnx(file.path(), options);
  const Expr y = model.outputs()[output].expr;
  return evaluate(std::span(&y, 1), {{"x", x.cast(DType::float64)}})[0];
}

std::string message(const OnnxBuilder& builder) {
  const ScratchFile file("control_wrong.onnx", builder.bytes());
  try {
    (void)load_onnx(file.path());
  } catch (const Error& error) {
    return error.what();
  }
  return "loaded";
}

/// s = 0; for t in 0 .. count - 1: s = tanh(x[:, t] + s); all s are collected.
OnnxBuilder running_sum(std::int64_t count) {
  OnnxBuilder builder(13);
  builder.input("x", {-1, count});
  builder.integers("count", {}, {count});
  builder.tensor("go", {}, onnx::TensorProto::BOOL).add_int32_data(1);
  builder.floats("start", {1}, {0});
  auto& loop = builder.node("Loop", {"count", "go", "start"}, {"last", "all"}, "loop1");
  auto& body = body_of(loop, "body", {"t", "again", "s"}, {"again_out", "next", "kept"});
  add_node(body, "Identity", {"again"}, {"again_out"});
  auto& take = add_node(body, "Gather", {"x", "t"}, {"x_t"});
  OnnxBuilder::set(take, "axis", 1);
  add_node(body, "Add", {"x_t", "s"}, {"sum"});
  add_node(body, "Tanh", {"sum"}, {"next"});
  add_node(body, "Identity", {"next"}, {"kept"});
  builder.output("last").output("all");
  return builder;
}

}  // namespace

TEST_CASE("a loop over a fixed length is written out") {
  constexpr std::int64_t count = 5;
  const OnnxBuilder builder = running_sum(count);
  const Tensor x(Dims{2, count}, {0.1, -0.4, 0.9, 0.3, -1.2, 1.5, 0.2, -0.7, 0.0, 0.6});
  const Tensor last = run(builder, x), all = run(builder, x, 1);
  CHECK(all.dims() == Dims{count, 2});
  for (std::int64_t n = 0; n < 2; ++n) {
    double s = 0;
    for (std::int64_t t = 0; t < count; ++t) {
      s = std::tanh(x.at(n * count + t) + s);
      CHECK(all.at(t * 2 + n) == doctest::Approx(s).epsilon(1e-14));
    }
    CHECK(last.at(n) == doctest::Approx(s).epsilon(1e-14));
  }
  const ScratchFile file("control_names.onnx", builder.bytes());
  const Model model = load_onnx(file.path());
  CHECK(model.graph().find("loop1.t4.next").size() == 1);
  CHECK(model.graph().find("loop1.t4.next")[0].is("tanh"));
}

TEST_CASE("a loop ends when its condition does") {
  // i doubles until it reaches 10: 1, 2, 4, 8, 16.
  OnnxBuilder builder(13);
  builder.input("x", {-1, 2});
  builder.tensor("go", {}, onnx::TensorProto::BOOL).add_int32_data(1);
  builder.integers("one", {}, {1});
  builder.integers("ten", {}, {10});
  auto& loop = builder.node("Loop", {"", "go", "one", "x"}, {"i_last", "y"}, "");
  auto& body = body_of(loop, "body", {"t", "again", "i", "v"}, {"less", "twice", "w"});
  add_node(body, "Add", {"i", "i"}, {"twice"});
  add_node(body, "Less", {"twice", "ten"}, {"less"});
  add_node(body, "Add", {"v", "x"}, {"w"});
  builder.output("y");
  const Tensor y = run(builder, Tensor(Dims{1, 2}, {1.0, -3.0}));
  CHECK(y.at(0) == 5);
  CHECK(y.at(1) == -15);
}

TEST_CASE("a branch is taken where its condition is known") {
  for (const bool yes : {false, true}) {
    OnnxBuilder builder(13);
    builder.input("x", {-1, 2});
    builder.tensor("yes", {1}, onnx::TensorProto::BOOL).add_int32_data(yes ? 1 : 0);
    auto& branch = builder.node("If", {"yes"}, {"y"}, "");
    add_node(body_of(branch, "then_branch", {}, {"a"}), "Neg", {"x"}, {"a"});
    add_node(body_of(branch, "else_branch", {}, {"b"}), "Relu", {"x"}, {"b"});
    builder.output("y");
    const Tensor y = run(builder, Tensor(Dims{1, 2}, {1.0, -3.0}));
    CHECK(y.at(0) == (yes ? -1 : 1));
    CHECK(y.at(1) == (yes ? 3 : 0));
  }
}

TEST_CASE("Scan goes over axes in either direction") {
  for (const bool reverse : {false, true}) {
    OnnxBuilder builder(13);
    builder.input("x", {-1, 3, 2});
    builder.floats("start", {1, 2}, {0, 0});
    auto& scan = builder.node("Scan", {"start", "x"}, {"last", "all"}, "");
    OnnxBuilder::set(scan, "num_scan_inputs", 1);
    OnnxBuilder::set(scan, "scan_input_axes", std::vector<std::int64_t>{1});
    OnnxBuilder::set(scan, "scan_output_axes", std::vector<std::int64_t>{-1});
    OnnxBuilder::set(scan, "scan_input_directions", std::vector<std::int64_t>{reverse ? 1 : 0});
    OnnxBuilder::set(scan, "scan_output_directions", std::vector<std::int64_t>{reverse ? 1 : 0});
    auto& body = body_of(scan, "body", {"s", "v"}, {"next", "kept"});
    add_node(body, "Add", {"s", "v"}, {"next"});
    add_node(body, "Mul", {"next", "next"}, {"kept"});
    builder.output("all").output("last");
    const Tensor x(Dims{1, 3, 2}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
    const Tensor all = run(builder, x), last = run(builder, x, 1);
    CHECK(all.dims() == Dims{1, 2, 3});
    for (std::int64_t i = 0; i < 2; ++i) {
      double s = 0;
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t t = reverse ? 2 - k : k;
        s += x.at(t * 2 + i);
        CHECK(all.at(i * 3 + t) == s * s);
      }
      CHECK(last.at(i) == s);
    }
  }
}

TEST_CASE("sequences are lists while a model is read") {
  OnnxBuilder builder(13);
  builder.input("x", {-1, 6});
  auto& cut = builder.node("SplitToSequence", {"x", "size"}, {"parts"});
  OnnxBuilder::set(cut, "axis", 1);
  builder.integers("size", {}, {4});
  builder.integers("first", {}, {0});
  builder.integers("last", {}, {-1});
  builder.node("SequenceAt", {"parts", "last"}, {"tail"});
  builder.node("SequenceEmpty", {}, {"none"});
  builder.node("SequenceInsert", {"none", "tail"}, {"one"});
  builder.node("Neg", {"tail"}, {"other"});
  builder.node("SequenceInsert", {"one", "other", "first"}, {"two"});
  builder.node("SequenceLength", {"two"}, {"count"});
  auto& join = builder.node("ConcatFromSequence", {"two"}, {"joined"});
  OnnxBuilder::set(join, "axis", 1);
  auto& real = builder.node("Cast", {"count"}, {"number"});
  OnnxBuilder::set(real, "to", onnx::TensorProto::FLOAT);
  builder.node("Mul", {"joined", "number"}, {"y"});
  builder.output("y");
  const Tensor y = run(builder, Tensor(Dims{1, 6}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}));
  CHECK(first_difference(y, Tensor(Dims{1, 4}, {-10.0, -12.0, 10.0, 12.0}), 0, 0) == "");
}

TEST_CASE("control flow that depends on the data is refused with what to do") {
  OnnxBuilder branch(13);
  branch.input("x", {-1, 2});
  branch.node("ReduceSum", {"x"}, {"total"});
  branch.floats("zero", {}, {0});
  branch.node("Greater", {"total", "zero"}, {"positive"});
  auto& node = branch.node("If", {"positive"}, {"y"}, "choice");
  add_node(body_of(node, "then_branch", {}, {"a"}), "Neg", {"x"}, {"a"});
  add_node(body_of(node, "else_branch", {}, {"b"}), "Relu", {"x"}, {"b"});
  branch.output("y");
  CHECK(message(branch).find("If 'choice': its condition 'positive' depends on the model's inputs") !=
        std::string::npos);

  OnnxBuilder loop = running_sum(3);
  loop.model.mutable_graph()->mutable_node(0)->set_input(0, "often");
  loop.input("often", {}, onnx::TensorProto::INT64);
  CHECK(message(loop).find("Loop 'loop1': how often it runs, 'often', depends on the model's inputs") !=
        std::string::npos);

  OnnxBuilder unknown = running_sum(3);
  unknown.model.mutable_graph()
      ->mutable_node(0)
      ->mutable_attribute(0)
      ->mutable_g()
      ->mutable_node(3)
      ->set_op_type("Tangens");
  CHECK(message(unknown).find("1x Tangens") != std::string::npos);

  OnnxBuilder sequence(13);
  sequence.input("x", {-1, 2});
  sequence.node("SequenceConstruct", {"x", "x"}, {"s"});
  sequence.node("Relu", {"s"}, {"y"}, "r");
  sequence.output("y");
  CHECK(message(sequence).find("Relu 'r': 's' is a sequence where an array is expected") !=
        std::string::npos);
  sequence.model.mutable_graph()->mutable_output(0)->set_name("s");
  sequence.model.mutable_graph()->mutable_node()->RemoveLast();
  CHECK(message(sequence).find("output 's' is a sequence") != std::string::npos);
}
