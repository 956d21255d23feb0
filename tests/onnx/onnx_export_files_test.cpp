#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <stdexcept>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/export_networks.hpp"
#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

TEST_CASE("sample loops of an exported file give the explainer's numbers as copies and as Loop") {
  // Sums and means over steps, all of one loop; windows that an index selects; a loop in a loop.
  const std::vector<std::string> methods{"integrated_gradients:steps=5",
                                         "integrated_gradients:steps=7,baseline=0.2", "occlusion:window=3",
                                         "integrated_gradients:steps=3,method=integrated_gradients:steps=2"};
  for (const std::int64_t most : {0, 4, 1000}) same_as_explainer(perceptron(), methods, {6}, 13, most);
  same_as_explainer(pools(), {"integrated_gradients:steps=4", "occlusion:window=5,stride=4"}, {2, 13, 11}, 16,
                    0);
}

namespace {

int count_of(const Model& model, const std::string& operator_name) {
  const auto& all = model.summary().operators;
  const auto found = all.find(operator_name);
  return found == all.end() ? 0 : found->second;
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("random numbers of an exported file read back as what draws them, and are the explainer's") {
  // As copies and as Loop, normal and uniform ones, and indices into baselines.
  const ScratchFile baselines("baselines.npy");
  io::write_npy(baselines.path().string(), wavy({5, 6}, 0.9));
  const std::vector<std::string> methods{"smoothgrad:n=5,noise=0.3",
                                         "smoothgrad:n=20,key=7",
                                         "vargrad:n=6",
                                         "random:key=3",
                                         "smoothgrad:n=3,method=integrated_gradients:steps=2",
                                         "expected_gradients:n=4,baselines=" + baselines.path().string()};
  same_as_explainer(perceptron(), methods, {6}, 18);
  same_as_explainer(perceptron(), methods, {6}, 18, 0);
  same_as_explainer(pools(), {"smoothgrad:n=2"}, {2, 13, 11}, 20);

  const ScratchFile file("noise.onnx");
  (void)export_explanation(perceptron(), methods, file.path());
  const Model model = load_onnx(file.path());
  CHECK(model.outputs().size() == 1 + methods.size());
  CHECK(model.notes().empty());
  CHECK(count_of(model, "BitwiseXor") > 100);
  CHECK(model.summary().unmapped.empty());
  CHECK(inspect_onnx(file.path()).unmapped.empty());
}

namespace {

/// The file with one thing changed in its message.
void changed(const ScratchFile& file, const std::function<void(onnx::GraphProto&)>& change) {
  onnx::ModelProto proto;
  std::ifstream in(file.path(), std::ios::binary);
  REQUIRE(proto.ParseFromIstream(&in));
  change(*proto.mutable_graph());
  std::ofstream out(file.path(), std::ios::binary);
  REQUIRE(proto.SerializeToOstream(&out));
}

}  // namespace

TEST_CASE("random numbers are known by all that computes them, not by their mark alone") {
  const ScratchFile file("noise.onnx");
  const std::vector<std::string> methods{"smoothgrad:n=2"};
  const auto left_out = [&](const std::function<void(onnx::GraphProto&)>& change) {
    (void)export_explanation(perceptron(), methods, file.path());
    changed(file, change);
    const Model model = load_onnx(file.path());
    CHECK_FALSE(inspect_onnx(file.path()).unmapped.empty());
    const bool note =
        !model.notes().empty() && model.notes()[0].find("output 'smoothgrad' is left out: Bit") == 0;
    return model.outputs().size() == 1 && note;
  };
  const auto first = [](onnx::GraphProto& graph, const char* op_type) -> onnx::NodeProto& {
    for (auto& node : *graph.mutable_node())
      if (node.op_type() == op_type) return node;
    throw std::runtime_error("no such node");
  };
  CHECK(left_out([&](auto& graph) { first(graph, "BitwiseXor").set_op_type("BitwiseOr"); }));
  CHECK(left_out([](auto& graph) {
    for (auto& node : *graph.mutable_node()) node.clear_doc_string();
  }));
  CHECK(left_out([](auto& graph) {
    for (auto& node : *graph.mutable_node())
      if (node.doc_string().starts_with("rulegrad."))
        node.set_doc_string("rulegrad.random_uniform 1 1 float32 N 6");
  }));
  CHECK(left_out([](auto& graph) {
    for (auto& node : *graph.mutable_node())
      if (node.doc_string().starts_with("rulegrad."))
        node.set_doc_string("rulegrad.random_normal x y N 99999999999 9");
  }));
}

TEST_CASE("a constant of random numbers that was changed is not believed to be what the mark says") {
  const ScratchFile file("noise.onnx");
  const std::vector<std::string> methods{"smoothgrad:n=2"};
  (void)export_explanation(perceptron(), methods, file.path());
  changed(file, [](onnx::GraphProto& graph) {
    int changes = 0;
    for (auto& tensor : *graph.mutable_initializer())
      if (tensor.data_type() == onnx::TensorProto::INT64 && tensor.raw_data().size() == 8) {
        std::int64_t value = 0;
        std::memcpy(&value, tensor.raw_data().data(), 8);
        if (value != 0xD2511F53) continue;
        value += 2;
        tensor.set_raw_data(&value, 8);
        ++changes;
      }
    REQUIRE(changes == 1);
  });
  const Model model = load_onnx(file.path());
  CHECK(model.outputs().size() == 1);
  CHECK(model.notes().size() == 1);
}

TEST_CASE("a file that was exported from an exported file keeps its names apart") {
  // Names that the writer gives to what stands between are names of values here.
  Network net;
  const Expr x = net.input("x", {B, 3, 4});
  Expr h = net.dense(x, 5);
  const Model first = net.finish({reshape(sum(tanh(h), {1, 2}, false), Shape{B, 1})});
  const ScratchFile once("once.onnx"), twice("twice.onnx"), thrice("thrice.onnx");
  const std::vector<std::string> methods{"lrp.epsilon", "integrated_gradients:steps=3"};
  (void)export_explanation(first, methods, once.path(), {.most_samples = 0});
  const Model second = load_onnx(once.path());
  (void)export_explanation(second, methods, twice.path(), {.most_samples = 0});
  const Model third = load_onnx(twice.path());
  (void)export_explanation(third, methods, thrice.path());
  const Tensor input = wavy({2, 3, 4}, 0.1);
  const auto values = [&](const ScratchFile& file) {
    const Model model = load_onnx(file.path());
    std::vector<Expr> all;
    for (const ModelOutput& output : model.outputs()) all.push_back(output.expr);
    Inputs inputs{{"x", input}};
    if (model.inputs().size() > 1) inputs.emplace("target", Tensor::full(DType::int64, {2}, 0));
    return evaluate(all, inputs);
  };
  const auto a = values(once), b = values(twice), c = values(thrice);
  REQUIRE(a.size() == 3);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(distance(b[i], a[i]) < 1e-6);
    CHECK(distance(c[i], a[i]) < 1e-6);
  }
}

TEST_CASE("loops of few samples are written out, longer ones become one Loop for all that they give") {
  const Model model = perceptron();
  const ScratchFile file("loops.onnx");
  const std::vector<std::string> methods{"integrated_gradients:steps=17", "gradient"};
  (void)export_explanation(model, methods, file.path());
  CHECK(count_of(load_onnx(file.path()), "Loop") == 1);
  (void)export_explanation(model, methods, file.path(), {.most_samples = 17});
  CHECK(count_of(load_onnx(file.path()), "Loop") == 0);
}

TEST_CASE("an explainer writes the file that its model, methods and options give") {
  const Model model = pools();
  const std::vector<std::string> methods{"gradient", "lrp.epsilon:epsilon=0.1"};
  const ScratchFile one("explainer.onnx"), two("exported.onnx");
  std::vector<std::string> hidden;
  for (const ModelInput& input : model.inputs()) hidden.push_back(input.name);
  const Explainer explainer(model, methods,
                            {.targets = Targets::given, .seed = Question::Seed::value, .nodes = hidden});
  const ExportedFile names =
      explainer.export_onnx(model, one.path(), {.opset = 17, .labels = {"a", "b", "c"}});
  CHECK(names.outputs == std::vector<std::string>{"scores", "gradient", "lrp.epsilon"});
  CHECK(names.inputs == std::vector<std::string>{"x", "target"});
  (void)export_explanation(model, methods, two.path(),
                           {.targets = Targets::given,
                            .seed = Question::Seed::value,
                            .nodes = hidden,
                            .opset = 17,
                            .labels = {"a", "b", "c"}});
  CHECK(bytes_of(one.path()) == bytes_of(two.path()));
  CHECK_THROWS_WITH_AS(explainer.export_onnx(perceptron(), one.path()),
                       doctest::Contains("made for another model"), Error);
  CHECK(load_onnx(one.path()).labels() == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("an exported file can refer to the weights of its model") {
  Network net;
  Expr h = relu(net.dense(net.input("x", {B, 600}), 600));  // 1.44 MB
  const Model built = net.finish(net.dense(h, 3));
  const ScratchFile plain("weights.onnx"), apart("weights_apart.onnx"), data("weights_apart.onnx.data"),
      heat("weights_heat.onnx");
  const std::vector<std::string> methods{"gradient", "lrp.epsilon"};
  const Expr output = built.outputs()[0].expr;
  save_onnx(plain.path(), std::span(&output, 1));
  save_onnx(apart.path(), std::span(&output, 1), {.external_data = true});
  const Inputs x{{"x", wavy({2, 600}, 1)}};
  for (const std::filesystem::path& path : {plain.path(), apart.path()}) {
    const Model model = load_onnx(path);
    (void)export_explanation(model, methods, heat.path());
    const auto whole = std::filesystem::file_size(heat.path());
    std::vector<std::vector<Tensor>> found;
    for (const bool share : {false, true}) {
      (void)export_explanation(model, methods, heat.path(), {.share_weights = share});
      const Model read = load_onnx(heat.path());
      std::vector<Expr> outputs;
      for (const ModelOutput& o : read.outputs()) outputs.push_back(o.expr);
      found.push_back(evaluate(outputs, x));
    }
    CHECK(std::filesystem::file_size(heat.path()) + 1'400'000 < whole);
    for (std::size_t i = 0; i < found[0].size(); ++i) CHECK(identical(found[0][i], found[1][i]));
    const auto elsewhere = std::filesystem::temp_directory_path() / "rulegrad_elsewhere";
    std::filesystem::create_directory(elsewhere);
    CHECK_THROWS_WITH_AS(export_explanation(model, methods, elsewhere / "heat.onnx", {.share_weights = true}),
                         doctest::Contains("only from the folder"), Error);
    CHECK(std::filesystem::is_empty(elsewhere));
    std::filesystem::remove(elsewhere);
  }
  CHECK_THROWS_WITH_AS(export_explanation(built, methods, heat.path(), {.share_weights = true}),
                       doctest::Contains("was not loaded from a file"), Error);
}

TEST_CASE("the shapes of all values are in an exported file, and everything in it is used") {
  const Model model = pools();
  const ScratchFile file("shapes.onnx");
  const std::vector<std::string> methods{"gradient", "lrp.epsilon_plus_flat",
                                         "integrated_gradients:steps=20"};
  (void)export_explanation(model, methods, file.path(), {.targets = Targets::given});
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(bytes_of(file.path())));
  std::set<std::string> described, read, outputs;
  for (const auto& output : proto.graph().output()) outputs.insert(output.name());
  for (const auto& value : proto.graph().value_info()) {
    CHECK(value.type().tensor_type().elem_type() != 0);
    described.insert(value.name());
  }
  const auto read_by = [&](const onnx::GraphProto& graph, const auto& self) -> void {
    for (const auto& output : graph.output()) read.insert(output.name());
    for (const auto& node : graph.node()) {
      read.insert(node.input().begin(), node.input().end());
      for (const auto& attribute : node.attribute())
        if (attribute.has_g()) self(attribute.g(), self);
    }
  };
  read_by(proto.graph(), read_by);
  for (const auto& tensor : proto.graph().initializer())
    CHECK_MESSAGE(read.contains(tensor.name()), tensor.name());
  for (const auto& node : proto.graph().node()) {
    CHECK_MESSAGE(std::any_of(node.output().begin(), node.output().end(),
                              [&](const auto& o) { return read.contains(o); }),
                  node.name());
    // Steps of one expression have its name and a number.
    if (node.name().find('.') == std::string::npos && !outputs.contains(node.output(0)))
      CHECK_MESSAGE(described.contains(node.output(0)), node.name());
  }
  CHECK(described.size() > 20);
}
