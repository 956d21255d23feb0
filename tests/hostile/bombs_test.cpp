// Models that would fill the stack, the memory or the afternoon while they are read. Each is a kind of its
// own; the numbers in them may be any others.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <regex>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "places.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();

enum class End { done, refused, internal, other_exception, crashed };

/// What becomes of a step in a process of its own that may use 30 s of a processor and 700 MB more than this
/// one.
End end_of(const std::function<void()>& step) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit seconds{30, 30};
    ::setrlimit(RLIMIT_CPU, &seconds);
    End end = End::done;
    try {
      step();
    } catch (const Error& error) {
      end = error.code() == ErrorCode::internal ? End::internal : End::refused;
    } catch (...) {
      end = End::other_exception;
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    ::_exit(usage.ru_maxrss > 1500 * 1024 ? static_cast<int>(End::crashed) : static_cast<int>(end));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? static_cast<End>(WEXITSTATUS(status)) : End::crashed;
}

End reading(const OnnxBuilder& builder) {
  const ScratchFile file("bomb.onnx", builder.bytes());
  return end_of([&] { (void)load_onnx(file.path()); });
}

onnx::NodeProto& add(google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, const std::string& op,
                     const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  auto& node = *nodes.Add();
  node.set_op_type(op);
  for (const auto& name : inputs) node.add_input(name);
  for (const auto& name : outputs) node.add_output(name);
  return node;
}

onnx::GraphProto& body_of(onnx::NodeProto& node, const std::string& name) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::GRAPH);
  return *attribute.mutable_g();
}

onnx::FunctionProto& function(OnnxBuilder& b, const std::string& name) {
  auto& f = *b.model.add_functions();
  f.set_domain("own");
  f.set_name(name);
  f.add_input("a");
  f.add_output("c");
  return f;
}

void call(OnnxBuilder& b, const std::string& name) {
  b.input("x", {-1, 2});
  b.node(name, {"x"}, {"y"}, "call").set_domain("own");
  b.output("y");
}

}  // namespace

TEST_CASE("functions that call themselves, also from a branch inside, and those that double are refused") {
  OnnxBuilder branch(17);
  auto& self = function(branch, "f");
  auto& choice = add(*self.mutable_node(), "If", {"a"}, {"c"});
  for (const char* const name : {"then_branch", "else_branch"}) {
    auto& body = body_of(choice, name);
    add(*body.mutable_node(), "f", {"a"}, {"d"}).set_domain("own");
    body.add_output()->set_name("d");
  }
  call(branch, "f");
  CHECK(reading(branch) == End::refused);

  for (const std::size_t length : {1, 20000}) {
    OnnxBuilder doubling(17);
    for (int level = 0; level < 40; ++level) {
      auto& f = function(doubling, "f" + std::to_string(level));
      // The last one is empty: nothing that is written out grows.
      if (level == 39) break;
      for (const char* const output : {"b", "c"}) {
        auto& node = add(*f.mutable_node(), "f" + std::to_string(level + 1), {"a"}, {output});
        node.set_domain("own");
        node.set_name(std::string(length, 'n'));
      }
    }
    call(doubling, "f0");
    CHECK(reading(doubling) == End::refused);
  }
}

TEST_CASE("loops within loops end by what they write out") {
  OnnxBuilder b(17);
  b.input("x", {4000, 4000, 4000});
  const std::function<void(onnx::NodeProto&, int)> scan = [&](onnx::NodeProto& node, int depth) {
    OnnxBuilder::set(node, "num_scan_inputs", 1);
    auto& body = body_of(node, "body");
    const std::string from = "s" + std::to_string(depth), to = "t" + std::to_string(depth);
    body.add_input()->set_name(from);
    if (depth < 2)
      scan(add(*body.mutable_node(), "Scan", {from}, {to}), depth + 1);
    else
      add(*body.mutable_node(), "Neg", {from}, {to});
    body.add_output()->set_name(to);
  };
  scan(b.node("Scan", {"x"}, {"y"}), 0);
  b.output("y");
  CHECK(reading(b) == End::refused);
}

TEST_CASE("what a node would write out from an extent is counted first") {
  const auto sequence = [](std::int64_t keep) {
    OnnxBuilder b(17);
    b.input("x", {1, largest - 1});
    auto& split = b.node("SplitToSequence", {"x"}, {"s"});
    OnnxBuilder::set(split, "axis", 1);
    OnnxBuilder::set(split, "keepdims", keep);
    b.node("SequenceLength", {"s"}, {"y"});
    b.output("y");
    return reading(b);
  };
  CHECK(sequence(0) == End::refused);
  CHECK(sequence(1) == End::refused);

  OnnxBuilder wrap(19);
  wrap.input("x", {1, 3});
  wrap.integers("pads", {4}, {0, largest - 7, 0, largest - 7});
  wrap.node("Pad", {"x", "pads"}, {"y"}).add_attribute()->set_name("mode");
  wrap.model.mutable_graph()->mutable_node(0)->mutable_attribute(0)->set_s("wrap");
  wrap.model.mutable_graph()->mutable_node(0)->mutable_attribute(0)->set_type(onnx::AttributeProto::STRING);
  wrap.output("y");
  CHECK(reading(wrap) == End::refused);

  OnnxBuilder eye(17);
  eye.input("x", {1 << 20, 1 << 14});
  eye.node("EyeLike", {"x"}, {"y"});
  eye.output("y");
  CHECK(reading(eye) == End::refused);

  OnnxBuilder frames(17);
  frames.input("x", {1, largest - 1, 1});
  frames.integers("step", {}, {1});
  frames.integers("length", {}, {2});
  frames.node("STFT", {"x", "step", "", "length"}, {"y"});
  frames.output("y");
  CHECK(reading(frames) == End::refused);

  for (const auto& size :
       std::vector<std::vector<std::int64_t>>{{1, 1, -1, 2}, {1, 1, 1 << 30, 1 << 30}, {1, 1, largest, 3}}) {
    OnnxBuilder grid(20);
    grid.input("theta", {1, 2, 3});
    grid.integers("size", {4}, size);
    grid.node("AffineGrid", {"theta", "size"}, {"y"});
    grid.output("y");
    CHECK(reading(grid) == End::refused);
  }

  OnnxBuilder resize(17);
  resize.input("x", {1, 1, 1 << 25});
  resize.floats("scales", {3}, {1, 1, 0.0000001F});
  resize.integers("sizes", {3}, {1, 1, 2});
  auto& node = resize.node("Resize", {"x", "", "", "sizes"}, {"y"});
  node.add_attribute()->set_name("mode");
  node.mutable_attribute(0)->set_s("cubic");
  node.mutable_attribute(0)->set_type(onnx::AttributeProto::STRING);
  resize.output("y");
  CHECK(reading(resize) == End::refused);
}

TEST_CASE("reductions at one place many times over are counted, not written out") {
  constexpr std::int64_t count = 20000;
  OnnxBuilder b(17);
  b.input("x", {-1, 4});
  b.floats("data", {4}, {1, 2, 3, 4});
  b.integers("at", {count}, std::vector<std::int64_t>(count, 0));
  b.floats("updates", {count}, std::vector<float>(count, 1.0F));
  auto& scatter = b.node("ScatterElements", {"data", "at", "updates"}, {"z"});
  scatter.add_attribute()->set_name("reduction");
  scatter.mutable_attribute(0)->set_s("mul");
  scatter.mutable_attribute(0)->set_type(onnx::AttributeProto::STRING);
  b.node("Add", {"x", "z"}, {"y"});
  b.output("y");
  CHECK(reading(b) == End::refused);
}

TEST_CASE("leaves of trees have as many values as there is room for") {
  OnnxBuilder b(17);
  b.input("x", {-1, 3});
  auto& tree = b.node("TreeEnsembleRegressor", {"x"}, {"y"});
  tree.set_domain("ai.onnx.ml");
  OnnxBuilder::set(tree, "n_targets", largest);
  OnnxBuilder::set(tree, "nodes_treeids", std::vector<std::int64_t>{0, 0, 0});
  OnnxBuilder::set(tree, "nodes_nodeids", std::vector<std::int64_t>{0, 1, 2});
  OnnxBuilder::set(tree, "nodes_featureids", std::vector<std::int64_t>{0, 0, 0});
  OnnxBuilder::set(tree, "nodes_truenodeids", std::vector<std::int64_t>{1, 0, 0});
  OnnxBuilder::set(tree, "nodes_falsenodeids", std::vector<std::int64_t>{2, 0, 0});
  for (const char* const list : {"target_treeids", "target_nodeids", "target_ids"})
    OnnxBuilder::set(tree, list, std::vector<std::int64_t>{});
  auto& modes = *tree.add_attribute();
  modes.set_name("nodes_modes");
  modes.set_type(onnx::AttributeProto::STRINGS);
  for (const char* const mode : {"BRANCH_LEQ", "LEAF", "LEAF"}) modes.add_strings(mode);
  auto& values = *tree.add_attribute();
  values.set_name("nodes_values");
  values.set_type(onnx::AttributeProto::FLOATS);
  for (int i = 0; i < 3; ++i) values.add_floats(0);
  b.output("y");
  CHECK(reading(b) == End::refused);
}

TEST_CASE("inputs of ranks that an operator does not know, and lists without a number, are refused") {
  const auto one = [](const std::string& op, std::int64_t opset, const std::vector<std::string>& inputs) {
    OnnxBuilder b(opset);
    b.input("x", {2, 3, 1});
    b.input("scalar", {});
    b.integers("none", {0}, {});
    b.integers("one", {}, {1});
    b.node(op, inputs, {"y"});
    b.output("y");
    return reading(b);
  };
  CHECK(one("DFT", 20, {"x", "none", "one"}) == End::refused);
  CHECK(one("DFT", 20, {"x", "one", "none"}) == End::refused);
  CHECK(one("STFT", 17, {"x", "one", "scalar"}) == End::refused);
  CHECK(one("ReverseSequence", 17, {"x", "scalar"}) == End::refused);
  CHECK(one("SplitToSequence", 17, {"x", "none"}) != End::crashed);
  for (const char* const op :
       {"Attention", "QLinearMatMul", "QLinearConv", "GridSample", "GroupNormalization", "LayerNormalization",
        "RotaryEmbedding", "Gemm", "Det", "DepthToSpace", "LSTM", "MatMulInteger"}) {
    CAPTURE(op);
    const End end =
        one(op, 23, {"scalar", "scalar", "scalar", "scalar", "scalar", "scalar", "scalar", "scalar"});
    CHECK((end == End::done || end == End::refused));
  }
}

TEST_CASE(
    "index arithmetic that doubles with each node, and masks added a hundred thousand times, are read in a "
    "moment") {
  OnnxBuilder doubling(17);
  doubling.input("x", {-1, 3});
  doubling.node("Shape", {"x"}, {"shape"});
  doubling.integers("zero", {}, {0});
  doubling.integers("one", {}, {1});
  doubling.node("Gather", {"shape", "zero"}, {"n"});
  doubling.node("Range", {"zero", "n", "one"}, {"i0"});
  for (int level = 0; level < 100; ++level)
    doubling.node("Add", {"i" + std::to_string(level), "i" + std::to_string(level)},
                  {"i" + std::to_string(level + 1)});
  doubling.node("Gather", {"x", "i100"}, {"y"});
  doubling.output("y");
  CHECK(reading(doubling) != End::crashed);

  constexpr int depth = 100000;
  OnnxBuilder masks(17);
  masks.input("x0", {-1, 2});
  masks.floats("mask", {2}, {0, -std::numeric_limits<float>::infinity()});
  for (int level = 0; level < depth; ++level)
    masks.node("Add", {"x" + std::to_string(level), "mask"}, {"x" + std::to_string(level + 1)});
  masks.node("Softmax", {"x" + std::to_string(depth)}, {"p"});
  masks.node("IsNaN", {"p"}, {"f"});
  masks.node("Where", {"f", "mask", "p"}, {"y"});
  masks.output("y");
  CHECK(reading(masks) != End::crashed);
}

TEST_CASE("what only later outputs need may be missing a hundred thousand times over") {
  constexpr int count = 30000;
  OnnxBuilder missing(17);
  missing.input("x", {-1, 2});
  missing.node("Relu", {"x"}, {"y"});
  missing.output("y");
  std::vector<std::string> parts;
  for (int i = 0; i < count; ++i) {
    parts.push_back("part" + std::to_string(i));
    missing.node("Add", {"x", "nothing" + std::to_string(i)}, {parts.back()});
  }
  missing.node("Concat", parts, {"z"});
  missing.output("z");
  CHECK(reading(missing) == End::done);

  // Each names the first one that failed, not all between.
  OnnxBuilder chain(17);
  chain.input("x", {-1, 2});
  chain.node("Relu", {"x"}, {"y"});
  chain.output("y");
  chain.node("NoSuchThing", {"x"}, {"c0"}, "odd");
  for (int i = 0; i < count; ++i) chain.node("Neg", {"c" + std::to_string(i)}, {"c" + std::to_string(i + 1)});
  chain.output("c" + std::to_string(count));
  const ScratchFile file("chain.onnx", chain.bytes());
  const Model model = load_onnx(file.path());
  REQUIRE(model.notes().size() == 1);
  CHECK(model.notes()[0].find("NoSuchThing 'odd'") != std::string::npos);
  CHECK(model.notes()[0].size() < 500);
}

TEST_CASE("places that are no numbers are no places") {
  OnnxBuilder b(17);
  b.input("x", {1, 1, 4});
  b.floats("roi", {6}, {0, 0, std::numeric_limits<float>::quiet_NaN(), 1, 1, 1});
  b.integers("sizes", {3}, {1, 1, 3});
  auto& node = b.node("Resize", {"x", "roi", "", "sizes"}, {"y"});
  for (const auto& [name, word] :
       {std::pair("mode", "nearest"), std::pair("coordinate_transformation_mode", "tf_crop_and_resize")}) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_s(word);
    attribute.set_type(onnx::AttributeProto::STRING);
  }
  b.output("y");
  CHECK(reading(b) == End::refused);
}

TEST_CASE("a resize that would be written as a matrix beyond the memory is refused before it is made") {
  Graph graph(DType::float32);
  const std::int64_t long_axis = std::int64_t{1} << 20;
  const Expr x = graph.input("x", {DType::float32, Shape{1, 1, long_axis}});
  ResizeAttributes resize;
  resize.spatial = {long_axis / 2};
  resize.mode = ResizeMode::linear;
  const std::vector<Expr> outputs{graph.apply(op("resize"), {x}, resize)};
  const ScratchFile file("resize.onnx", "");
  CHECK_THROWS_WITH_AS(save_onnx(file.path(), outputs),
                       doctest::Contains("that a file is to hold would take"), Error);
}

TEST_CASE("an output without a score cannot be explained, and says so") {
  for (const auto& dims : std::vector<std::vector<std::int64_t>>{{0, 3}, {3, 0}, {0}}) {
    OnnxBuilder b(17);
    b.input("x", dims);
    b.node("Relu", {"x"}, {"y"});
    b.output("y");
    const ScratchFile file("empty.onnx", b.bytes());
    CHECK(end_of([&] {
            const Model model = load_onnx(file.path(), {.batch = BatchPolicy::fixed});
            (void)Explainer(model, "gradient").run(Tensor(DType::float32, Dims(dims)), {.threads = 1});
          }) == End::refused);
  }
}

TEST_CASE(
    "what reads and writes models makes arrays in the one way that counts them first, and asks lists for one "
    "number likewise") {
  // save holds the way of what writes; tensor_reader holds what the file has bytes for; importer and node_context look at the size themselves.
  const std::regex made(
      R"(Tensor::uninitialized\(|Tensor::full\(|\bTensor( \w+)?\(\s*(DType::|dtype)|integers_of\(.*\)\.at\()");
  const std::regex written(R"(^(save|tensor_reader|importer|node_context)\.[ch]pp$)");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_root() / "src/onnx")) {
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, written)) continue;
    ++files;
    std::ifstream in(entry.path());
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      INFO(name, ":", number, ": ", line);
      CHECK(!std::regex_search(line, made));
    }
  }
  CHECK(files > 30);
}
