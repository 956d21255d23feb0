// Where bytes of models lie: weights that stay in their file, files beside the model, and files that are
// damaged.
#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <random>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// True if the address lies in a mapping of the file.
bool lies_in_file(const std::byte* address, const std::filesystem::path& path) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2 && begin <= wanted && wanted < end)
      return line.find(path.filename().string()) != std::string::npos;
  }
  return false;
}

const Tensor& weight_of(const Model& model) {
  return model.outputs()[0].expr.operand(1).attributes<ConstantAttributes>().value;
}

/// x [N, 2] times w^T [3, 2].
OnnxBuilder small() {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.floats("w", {3, 2}, {1, 2, 3, 4, 5, 6});
  OnnxBuilder::set(b.node("Gemm", {"x", "w"}, {"h"}, "layer"), "transB", std::int64_t{1});
  b.node("Relu", {"h"}, {"y"}, "act");
  b.output("y");
  return b;
}

std::string message_of(const std::string& bytes, const LoadOptions& options = {}) {
  const ScratchFile file("bad.onnx", bytes);
  try {
    (void)load_onnx(file.path(), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void set_external(onnx::TensorProto& tensor, const std::string& location, const std::string& offset) {
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair{"location", location}, std::pair{"offset", offset}}) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
}

}  // namespace

TEST_CASE("a weight of 100 MB stays in the file") {
  constexpr std::int64_t rows = 5000, columns = 5000;
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 97) * 0.01F;
  int borrowed = 0;
  for (int shift = 0; shift < 4; ++shift) {
    // The bytes of a name before the weight decide whether it is aligned.
    OnnxBuilder b;
    b.input("x", {-1, columns});
    b.floats(std::string(static_cast<std::size_t>(shift + 1), 'w'), {rows, columns}, values);
    OnnxBuilder::set(b.node("Gemm", {"x", std::string(static_cast<std::size_t>(shift + 1), 'w')}, {"y"}),
                     "transB", std::int64_t{1});
    b.output("y");
    const ScratchFile file("large.onnx", b.bytes());
    const Model model = load_onnx(file.path());
    const Tensor& weight = weight_of(model);
    CHECK(std::memcmp(weight.data(), values.data(), weight.bytes()) == 0);
    const bool in_file = lies_in_file(weight.data(), file.path());
    if (in_file) ++borrowed;
    // Another dtype has to be made.
    if (in_file)
      CHECK_FALSE(
          lies_in_file(weight_of(load_onnx(file.path(), {.dtype = DType::float64})).data(), file.path()));
  }
  CHECK(borrowed >= 1);
}

TEST_CASE("weights may lie in files beside the model") {
  std::vector<float> values(600000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  OnnxBuilder b;
  b.input("x", {-1, 1000});
  auto& w = b.floats("w", {600, 1000}, {});
  OnnxBuilder::set(b.node("Gemm", {"x", "w"}, {"y"}), "transB", std::int64_t{1});
  b.output("y");
  const ScratchFile data(
      "weights.bin",
      std::string(64, 'p') + std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
  set_external(w, data.path().filename().string(), "64");
  const ScratchFile file("external.onnx", b.bytes());
  const Model model = load_onnx(file.path());
  CHECK(lies_in_file(weight_of(model).data(), data.path()));
  CHECK(weight_of(model).at(599999) == 599999);
  const std::string digest = model.digest();
  CHECK_FALSE(digest.empty());

  data.write("short");
  CHECK_THROWS_WITH_AS((void)load_onnx(file.path()), doctest::Contains("'w' should lie at byte 64"), Error);
  w.clear_external_data();
  set_external(w, "no_such_file.bin", "0");
  CHECK(message_of(b.bytes()).find("no_such_file.bin") != std::string::npos);
  w.clear_external_data();
  set_external(w, "../outside.bin", "0");
  CHECK(message_of(b.bytes()).find("leads out of its own folder") != std::string::npos);
}

TEST_CASE("a file that is no model says what it is instead") {
  CHECK(message_of("").find("the file is empty") != std::string::npos);
  CHECK(message_of("this is no model at all").find("not a readable ONNX model") != std::string::npos);
  CHECK(message_of("PK\x03\x04" + std::string(100, 'z')).find("torch.onnx.export") != std::string::npos);
  CHECK(message_of("\x89HDF\r\n" + std::string(100, 'z')).find("HDF5") != std::string::npos);
  CHECK_THROWS_AS((void)load_onnx("/no/such/model.onnx"), Error);
  CHECK_THROWS_AS((void)load_onnx("/tmp"), Error);
}

TEST_CASE("a model that is cut off anywhere is refused, with its size") {
  const std::string whole = small().bytes();
  REQUIRE(message_of(whole).empty());
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const std::string message = message_of(whole.substr(0, size));
    // Fields may be left out, so that a cut between two of the last ones leaves another whole model.
    if (message.empty())
      CHECK(size > whole.size() - 8);
    else
      CHECK((message.find(fmt::format("{} bytes", size)) != std::string::npos ||
             message.find("cannot load") != std::string::npos));
  }
  const std::string large = [] {
    OnnxBuilder b = small();
    b.floats("big", {1 << 19}, std::vector<float>(1 << 19, 1.F));
    return b.bytes();
  }();
  CHECK(message_of(large.substr(0, large.size() / 2)).find("truncated") != std::string::npos);
}

TEST_CASE("weights that are not finite are named with their place, unless they may be so") {
  OnnxBuilder b = small();
  std::vector<float> values{1, 2, 3, std::numeric_limits<float>::quiet_NaN(), 5, 6};
  b.model.mutable_graph()->mutable_initializer(0)->set_raw_data(values.data(), 24);
  const std::string message = message_of(b.bytes());
  CHECK(message.find("'w'") != std::string::npos);
  CHECK(message.find("[1, 1]") != std::string::npos);
  CHECK(message_of(b.bytes(), {.allow_non_finite = true}).empty());
}

TEST_CASE("what does not fit together is told with the node, and what is missing by its name") {
  const auto changed = [](auto change) {
    OnnxBuilder b = small();
    change(*b.model.mutable_graph());
    return message_of(b.bytes());
  };
  const auto has = [](const std::string& message, const std::string& word) {
    return message.find(word) != std::string::npos;
  };
  const std::string shapes = changed([](onnx::GraphProto& g) {
    g.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(1)->set_dim_value(
        7);
  });
  CHECK(has(shapes, "'layer'"));
  CHECK(has(shapes, "expects 2 features"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.clear_initializer(); }), "'w'"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_node(1)->set_input(0, "hh"); }),
            "nearest name is 'h'"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_node()->SwapElements(0, 1); }), "comes later"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_node(1)->set_output(0, "h"); }),
            "given to two values"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_node(1)->add_attribute()->set_name("speed"); }),
            "attribute speed is not supported"));
  CHECK(has(changed([](onnx::GraphProto& g) {
              g.mutable_initializer(0)->set_data_type(onnx::TensorProto::STRING);
            }),
            "STRING"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_initializer(0)->set_dims(0, 4); }),
            "needs 32 bytes but the file has 24"));
  CHECK(
      has(changed([](onnx::GraphProto& g) { g.mutable_initializer(0)->set_dims(0, std::int64_t{1} << 60); }),
          "elements by its shape"));
  CHECK(has(changed([](onnx::GraphProto& g) { g.mutable_output(0)->set_name("z"); }), "'z'"));
  CHECK(has(changed([](onnx::GraphProto& g) {
              g.mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
            }),
            "no declared shape"));
  OnnxBuilder old(5);
  old.model.mutable_graph()->MergeFrom(small().model.graph());
  CHECK(has(message_of(old.bytes()), "operator set 5"));
  OnnxBuilder young(99);
  young.model.mutable_graph()->MergeFrom(small().model.graph());
  CHECK(has(message_of(young.bytes()), "operator set 99"));
}

TEST_CASE("an integer constant divided by zero is an error and not the end") {
  OnnxBuilder b;
  b.input("x", {-1, 2});
  b.integers("a", {1}, {4});
  b.integers("zero", {1}, {0});
  b.node("Div", {"a", "zero"}, {"q"}, "quotient");
  b.node("Reshape", {"x", "q"}, {"y"});
  b.output("y");
  CHECK(message_of(b.bytes()).find("divided by 0") != std::string::npos);
}

TEST_CASE("damaged models are errors or models, never more than that") {
  std::vector<std::string> originals{small().bytes()};
  {
    OnnxBuilder b(11);
    b.input("x", {1, 2, 6, 6});
    b.floats("w", {4, 2, 3, 3}, std::vector<float>(72, 0.1F));
    b.floats("s", {4}, {1, 1, 1, 1});
    b.integers("target", {2}, {1, -1});
    b.integers("starts", {1}, {1});
    b.integers("ends", {1}, {100});
    b.integers("axes", {1}, {2});
    OnnxBuilder::set(b.node("Conv", {"x", "w", "s"}, {"c"}), "pads", std::vector<std::int64_t>{1, 1, 1, 1});
    b.node("BatchNormalization", {"c", "s", "s", "s", "s"}, {"n"});
    OnnxBuilder::set(b.node("MaxPool", {"n"}, {"p"}), "kernel_shape", std::vector<std::int64_t>{2, 2});
    b.node("Slice", {"p", "starts", "ends", "axes"}, {"q"});
    OnnxBuilder::set(b.node("Pad", {"q"}, {"r"}), "pads", std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 1, 1});
    b.node("Shape", {"r"}, {"shape"});
    b.node("ConstantOfShape", {"shape"}, {"zeros"});
    b.node("Add", {"r", "zeros"}, {"t"});
    b.node("Reshape", {"t", "target"}, {"y"});
    OnnxBuilder::set(b.node("Softmax", {"y"}, {"z"}), "axis", std::int64_t{1});
    b.output("z");
    originals.push_back(b.bytes());
  }
  std::mt19937_64 random(11);
  const ScratchFile file("fuzz.onnx");
  int models = 0, errors = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = originals[static_cast<std::size_t>(round) % originals.size()];
    const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    for (std::size_t change = 0, changes = draw(4) + 1; change < changes && !bytes.empty(); ++change)
      switch (draw(5)) {
        case 0:
          bytes[draw(bytes.size())] = static_cast<char>(random());
          break;
        case 1:
          bytes[draw(bytes.size())] ^= static_cast<char>(1U << draw(8));
          break;
        case 2:
          bytes.erase(draw(bytes.size()), draw(8) + 1);
          break;
        case 3:
          bytes.insert(draw(bytes.size()), bytes.substr(draw(bytes.size()), draw(16)));
          break;
        default:
          bytes.resize(draw(bytes.size()) + 1);
          break;
      }
    if (bytes.empty()) continue;
    file.write(bytes);
    try {
      const Model model = load_onnx(file.path());
      ++models;
      CHECK_FALSE(model.outputs().empty());
    } catch (const Error& error) {
      ++errors;
      CHECK_FALSE(std::string(error.what()).empty());
    }
  }
  CHECK(models > 100);
  CHECK(errors > 300);
}
