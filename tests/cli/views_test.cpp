// What people see: several classes of one picture in a figure, drawings and pages by their endings, dark
// pages, volumes as slices, and colours that one outlier does not pale.
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <span>

#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"

#include "cli/asking.hpp"

using namespace rulegrad;
using testing::CommandResult;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;
using testing::succeeds;

namespace {

std::vector<std::string> on_sneaker(const std::string& output, const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"analyze",      demo("fashion.onnx"),
                                     "--input",      demo("pictures/sneaker_9.png"),
                                     "--preprocess", "unit",
                                     "--labels",     demo("labels.txt"),
                                     "--output",     output};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("several classes of one picture stand in one figure") {
  const ScratchDirectory scratch;
  (void)succeeds(on_sneaker(scratch.file("one.svg"), {"--method", "gradient", "--method", "lrp.epsilon"}));
  (void)succeeds(on_sneaker(scratch.file("two.svg"), {"--method", "gradient", "--method", "lrp.epsilon",
                                                      "--target", "sneaker", "--target", "8"}));
  const std::string two = testing::read_text(scratch.file("two.svg"));
  for (const char* words : {">sneaker</text>", ">bag</text>", "logit "})
    CHECK_MESSAGE(two.find(words) != std::string::npos, words);
  (void)succeeds(on_sneaker(scratch.file("all.png"), {"--method", "gradient", "--target", "all"}));
  CHECK(io::read_picture(scratch.file("all.png")).height > 10 * 160);
  (void)succeeds(on_sneaker(scratch.file("all"), {"--method", "gradient", "--target", "all"}));
  CHECK(std::filesystem::exists(scratch.file("all/sneaker_9.classes.png")));
  CHECK(std::filesystem::exists(scratch.file("all/grid.class3.png")));
  // The arrays of two classes are those of each.
  (void)succeeds(
      on_sneaker(scratch.file("both.npy"), {"--method", "gradient", "--target", "sneaker", "--target", "8"}));
  (void)succeeds(on_sneaker(scratch.file("bag.npy"), {"--method", "gradient", "--target", "bag"}));
  const Tensor both = io::read_npy(scratch.file("both.npy")), bag = io::read_npy(scratch.file("bag.npy"));
  REQUIRE(both.dims() == Dims{1, 2, 1, 28, 28});
  for (std::int64_t i = 0; i < bag.size(); ++i)
    CHECK(both.at(bag.size() + i) == doctest::Approx(bag.at(i)).epsilon(1e-5));
  const CommandResult twice = run_command(
      on_sneaker(scratch.file("x.png"), {"--method", "gradient", "--target", "argmax", "--target", "8"}));
  CHECK(twice.code == 2);
  CHECK(twice.err.find("--target") != std::string::npos);
}

TEST_CASE("titles say what the number is") {
  const ScratchDirectory scratch;
  (void)succeeds(
      on_sneaker(scratch.file("logit.svg"), {"--method", "gradient", "--target", "3", "--target", "5"}));
  CHECK(testing::read_text(scratch.file("logit.svg")).find("logit") != std::string::npos);
  (void)succeeds(on_sneaker(scratch.file("probability.svg"), {"--method", "gradient", "--head", "probability",
                                                              "--target", "3", "--target", "5"}));
  CHECK(testing::read_text(scratch.file("probability.svg")).find("probability") != std::string::npos);
  (void)succeeds({"analyze", demo("mlp.onnx"), "--input", demo("features.npy"), "--method", "gradient",
                  "--method", "lrp.epsilon", "--output", scratch.file("table.svg")});
  CHECK(testing::read_text(scratch.file("table.svg")).find("<text") != std::string::npos);
}

TEST_CASE("a page of PDF, and figures for dark pages") {
  const ScratchDirectory scratch;
  (void)succeeds(on_sneaker(scratch.file("map.pdf"), {"--method", "gradient", "--method", "lrp.epsilon"}));
  CHECK(testing::read_text(scratch.file("map.pdf")).starts_with("%PDF-1.4"));
  (void)succeeds(on_sneaker(scratch.file("light.png"), {"--method", "gradient", "--method", "lrp.epsilon"}));
  (void)succeeds(
      on_sneaker(scratch.file("dark.png"), {"--method", "gradient", "--method", "lrp.epsilon", "--dark"}));
  const io::Picture light = io::read_picture(scratch.file("light.png")),
                    dark = io::read_picture(scratch.file("dark.png"));
  CHECK(light.at(0, 0) > 200);
  CHECK(dark.at(0, 0) < 60);
  CHECK(light.width == dark.width);
}

TEST_CASE("one outlier does not pale a map") {
  const ScratchDirectory scratch;
  (void)succeeds(on_sneaker(scratch.file("map.npy"), {"--method", "gradient"}));
  (void)succeeds(on_sneaker(scratch.file("usual.png"), {"--method", "gradient"}));
  (void)succeeds(on_sneaker(scratch.file("whole.png"), {"--method", "gradient", "--percentile", "100"}));
  const Tensor map = io::read_npy(scratch.file("map.npy")).reshaped({28, 28});
  CHECK(io::read_picture(scratch.file("usual.png")) == io::render(map, {.percentile = 99, .upscale = 0}));
  CHECK(io::read_picture(scratch.file("whole.png")) == io::render(map, {.percentile = 100, .upscale = 0}));
}

TEST_CASE("volumes are shown as slices") {
  const ScratchDirectory scratch;
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 1, 6, 8, 8}});
  Tensor weights(DType::float32, {2, 384});
  for (std::int64_t i = 0; i < weights.size(); ++i)
    weights.mutable_values<float>()[static_cast<std::size_t>(i)] =
        static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
  const Expr y = dense(flatten(graph.apply(Operators::builtin().at("mul"), {x, x})), graph.constant(weights));
  save_onnx(scratch.file("volume.onnx"), std::span(&y, 1), {.graph_name = "volume", .output_names = {"y"}});
  Tensor values(DType::float32, {1, 1, 6, 8, 8});
  for (std::int64_t i = 0; i < values.size(); ++i)
    values.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i) / 384;
  io::write_npy(scratch.file("x.npy"), values);
  (void)succeeds({"analyze", scratch.file("volume.onnx"), "--input", scratch.file("x.npy"), "--method",
                  "gradient", "--output", scratch.file("slices.png"), "--upscale", "1"});
  (void)succeeds({"analyze", scratch.file("volume.onnx"), "--input", scratch.file("x.npy"), "--method",
                  "gradient", "--output", scratch.file("map.npy")});
  const Tensor map =
      io::slices(io::read_npy(scratch.file("map.npy")).reshaped({1, 6, 8, 8}), io::ChannelReduction::sum);
  CHECK(map.dims() == Dims{2 * 9 - 1, 3 * 9 - 1});
  CHECK(io::read_picture(scratch.file("slices.png")) == io::render(map, {.percentile = 99, .upscale = 1}));
  // A grid shows what the model saw beside it.
  (void)succeeds({"analyze", scratch.file("volume.onnx"), "--input", scratch.file("x.npy"), "--method",
                  "gradient", "--method", "input_times_gradient", "--output", scratch.file("grid.svg")});
  const std::string svg = testing::read_text(scratch.file("grid.svg"));
  std::size_t images = 0;
  for (std::size_t at = svg.find("<image "); at != std::string::npos; at = svg.find("<image ", at + 1))
    ++images;
  CHECK(images == 3);
}

TEST_CASE("predict asks how pictures become numbers, and takes what stands beside the model") {
  const ScratchDirectory scratch;
  std::filesystem::copy_file(demo("fashion.onnx"), scratch.file("fashion.onnx"));
  const CommandResult asked =
      run_command({"predict", scratch.file("fashion.onnx"), "--input", demo("pictures/sneaker_9.png")});
  CHECK(asked.code == 2);
  CHECK(asked.err.find("--preprocess") != std::string::npos);
  CHECK(asked.err.find("fashion.onnx.preprocess") != std::string::npos);
  std::ofstream(scratch.file("fashion.onnx.preprocess")) << "unit\n";
  const CommandResult beside =
      succeeds({"predict", scratch.file("fashion.onnx"), "--input", demo("pictures/sneaker_9.png")});
  const CommandResult typed = succeeds(
      {"predict", demo("fashion.onnx"), "--input", demo("pictures/sneaker_9.png"), "--preprocess", "unit"});
  CHECK(beside.out == typed.out);
  CHECK(typed.out.starts_with("sneaker_9  (probabilities)\n"));
  CHECK(succeeds({"predict", demo("mlp.onnx"), "--input", demo("features.npy")})
            .out.starts_with("features  (scores as the model gives them)\n"));
}
