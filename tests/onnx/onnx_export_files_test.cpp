#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

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
