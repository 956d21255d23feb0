// The command on models of all kinds: what it says of them, weights that are not numbers, heads, real
// photographs.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"

#include "cli/command.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

std::optional<std::filesystem::path> data_or_skip() {
  const auto data = shared_data();
  if (!data) MESSAGE("skipped: no shared data");
  return data;
}

std::string first_picture() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(demo("pictures")))
    files.push_back(entry.path().string());
  return *std::min_element(files.begin(), files.end());
}

}  // namespace

TEST_CASE("inspect shows inputs, outputs, operators, parameters, and what is not mapped") {
  const auto result = run_command({"inspect", demo("fashion.onnx")});
  CHECK(result.code == 0);
  for (const std::string line :
       {"input   x  float[N, 1, 28, 28]", "output", "float[N, 10]", "105866 parameters, 0.42 MB", "2  Conv",
        "3  Relu", "everything can be mapped"})
    CHECK_MESSAGE(result.out.find(line) != std::string::npos, line << " is missing in:\n" << result.out);
  if (const auto data = data_or_skip()) {
    const auto lstm = run_command({"inspect", (*data / "mnist/mnist_lstm.onnx").string()});
    CHECK(lstm.code == 0);
    CHECK_MESSAGE(lstm.out.find("1  LSTM") != std::string::npos, lstm.out);
    CHECK_MESSAGE(lstm.out.find("everything can be mapped") != std::string::npos, lstm.out);
    const auto refused = run_command({"predict", (*data / "audio/silero_vad_sequence.onnx").string(),
                                      "--input", (*data / "mnist/digits.npy").string()});
    CHECK(refused.code == 2);
    CHECK_MESSAGE(refused.err.find("LSTM 'lstm': X is float32[B, 1, 128]") != std::string::npos, refused.err);
  }
}

TEST_CASE("outputs that cannot be read are named with the operator, and asking for one is an error") {
  const ScratchDirectory scratch;
  const std::string file = scratch.file("heat.onnx");
  REQUIRE(run_command({"export", demo("mlp.onnx"), "--method", "gradient", "--method", "smoothgrad:n=2",
                       "--output", file})
              .code == 0);
  // What is read back as a whole is computed by another operator now, of a name as long.
  std::string bytes = testing::read_text(file);
  const std::string xor_name = "BitwiseXor", not_name = "BitwiseNot";
  REQUIRE(bytes.find(xor_name) != std::string::npos);
  for (std::size_t at = 0; (at = bytes.find(xor_name, at)) != std::string::npos;)
    bytes.replace(at, not_name.size(), not_name);
  std::ofstream(file, std::ios::binary) << bytes;

  const auto says = [](const std::string& text) {
    for (const char* const word : {"smoothgrad", "left out", "Bitwise", "not supported"})
      CHECK_MESSAGE(text.find(word) != std::string::npos, word << " is missing in:\n" << text);
  };
  const auto shown = run_command({"inspect", file});
  CHECK(shown.code == 0);
  says(shown.out);
  CHECK(shown.out.find("everything can be mapped") == std::string::npos);
  const auto json = run_command({"inspect", file, "--json"});
  CHECK(json.out.find(R"("left_out": [{"output": "smoothgrad", "reason": "Bitwise)") != std::string::npos);

  const std::string input = demo("features.npy");
  const auto predicted = run_command({"predict", file, "--input", input});
  CHECK(predicted.code == 0);
  says(predicted.err);
  says(run_command(
           {"analyze", file, "--input", input, "--method", "gradient", "--output", scratch.file("x.npy")})
           .err);
  const auto asked = run_command({"predict", file, "--input", input, "--output-node", "smoothgrad"});
  CHECK(asked.code == 2);
  CHECK_MESSAGE(asked.err.find("output 'smoothgrad'") != std::string::npos, asked.err);
  CHECK_MESSAGE(asked.err.find("Bitwise") != std::string::npos, asked.err);
  // The others are there, and are not told of it.
  const auto other = run_command({"predict", file, "--input", input, "--output-node", "gradient"});
  CHECK(other.code == 0);
  CHECK(other.err.find("left out") == std::string::npos);
}

TEST_CASE("weights that are not numbers are refused by tensor and place, unless they are allowed") {
  const ScratchDirectory scratch;
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  Tensor w({2, 2}, {1.F, 2.F, 3.F, std::numeric_limits<float>::quiet_NaN()});
  const Expr weight = graph.constant(w);
  graph.add_name(weight, "head.weight");
  const Expr y = dense(x, weight);
  save_onnx(scratch.file("nan.onnx"), std::span(&y, 1));
  io::write_npy(scratch.file("x.npy"), Tensor({1, 2}, {1.F, 1.F}));
  const auto refused = run_command({"predict", scratch.file("nan.onnx"), "--input", scratch.file("x.npy")});
  CHECK(refused.code == 2);
  for (const std::string word : {"nan", "[1, 1]", "--allow-non-finite"})
    CHECK_MESSAGE(refused.err.find(word) != std::string::npos, word << " is missing in: " << refused.err);
  const auto allowed = run_command(
      {"predict", scratch.file("nan.onnx"), "--input", scratch.file("x.npy"), "--allow-non-finite"});
  CHECK(allowed.code == 0);
  CHECK_MESSAGE(allowed.out.find("nan") != std::string::npos, allowed.out);

  io::write_npy(scratch.file("bad.npy"),
                Tensor::full(DType::float32, {1, 22}, std::numeric_limits<double>::infinity()));
  const auto input =
      run_command({"predict", demo("mlp.onnx"), "--input", scratch.file("bad.npy"), "--allow-non-finite"});
  CHECK(input.code == 0);
}

TEST_CASE("the probability is another question than the logit below it") {
  const ScratchDirectory scratch;
  const auto run = [&](const std::string& head) {
    const auto result = run_command({"analyze", demo("fashion.onnx"), "--input", first_picture(),
                                     "--preprocess", "unit", "--method", "gradient", "--dtype", "float64",
                                     "--head", head, "--output", scratch.file("r.npy")});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return std::pair(io::read_npy(scratch.file("r.npy")), result.out);
  };
  const auto [logit, logit_text] = run("logit");
  const auto [probability, probability_text] = run("probability");
  CHECK_FALSE(identical(logit, probability));
  CHECK(logit_text != probability_text);
  const std::size_t open = probability_text.find('(');
  const double said = std::stod(probability_text.substr(open + 1));
  CHECK(said > 0.1);
  CHECK(said <= 1);
}

TEST_CASE("heat maps can be clipped, reduced, enlarged and laid over the picture") {
  const ScratchDirectory scratch;
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{
        "analyze",  demo("fashion.onnx"),    "--input",  first_picture(),        "--preprocess", "unit",
        "--method", "lrp.epsilon_plus_flat", "--output", scratch.file("map.png")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_command(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return io::read_picture(scratch.file("map.png"));
  };
  const io::Picture plain = run({});
  CHECK(plain.width >= 128);
  CHECK(run({"--upscale", "3"}).width == 84);
  CHECK(run({"--percentile", "90"}).pixels != plain.pixels);
  CHECK(run({"--overlay"}).pixels != plain.pixels);
  CHECK(run({"--colormap", "seismic"}).pixels != plain.pixels);
}

TEST_CASE("long work shows progress on a terminal, and nothing where there is none") {
  if (std::system("script -qec true /dev/null >/dev/null 2>&1 </dev/null") != 0) {
    MESSAGE("skipped: no program `script`, or no device, to make a terminal with");
    return;
  }
  const ScratchDirectory scratch;
  io::write_npy(scratch.file("x.npy"), Tensor::full(DType::float32, {64, 22}, 0.25));
  const std::vector<std::string> arguments{
      "analyze",  demo("mlp.onnx"),     "--input",      scratch.file("x.npy"),
      "--method", "gradient",           "--batch-size", "16",
      "--output", scratch.file("r.npy")};
  CHECK(run_command(arguments).err.empty());
  std::string line = rulegrad_command();
  for (const std::string& argument : arguments) line += " " + argument;
  REQUIRE(std::system(("script -qec '" + line + "' '" + scratch.file("terminal") + "' >/dev/null </dev/null")
                          .c_str()) == 0);
  const std::string shown = testing::read_text(scratch.file("terminal"));
  CHECK_MESSAGE(shown.find("analyzing 16 / 64") != std::string::npos, shown);
  CHECK_MESSAGE(shown.find("analyzing 64 / 64") != std::string::npos, shown);
}

TEST_CASE("a photograph is named and explained with every method by one call") {
  const auto data = data_or_skip();
  if (!data) return;
  const ScratchDirectory scratch;
  const std::string model = (*data / "imagenet/squeezenet1.1.onnx").string(),
                    labels = (*data / "imagenet/labels_1000.txt").string();
  // A whole photograph: resized and cropped to the model's size, in the model's colours and scale.
  const std::vector<std::string> picture{"--input",  (*data / "images/parrot.jpg").string(),
                                         "--scale",  "1",
                                         "--mean",   "104,117,123",
                                         "--color",  "bgr",
                                         "--layout", "nchw"};
  std::vector<std::string> predict{"predict", model, "--labels", labels, "--top", "1"};
  predict.insert(predict.end(), picture.begin(), picture.end());
  const auto named = run_command(predict);
  CHECK_MESSAGE(named.out.find("macaw") != std::string::npos, named.out << named.err);

  std::vector<std::string> analyze{"analyze", model, "--labels", labels, "--output", scratch.file("maps")};
  analyze.insert(analyze.end(), picture.begin(), picture.end());
  const std::vector<std::string> methods{
      "gradient", "input_times_gradient", "deconvnet", "guided_backprop",
      "lrp.z",    "lrp.epsilon",          "lrp.gamma", "lrp.epsilon_plus_flat"};
  for (const std::string& method : methods) analyze.insert(analyze.end(), {"--method", method});
  const auto explained = run_command(analyze);
  INFO(explained.err);
  REQUIRE(explained.code == 0);
  for (const std::string& method : methods) {
    INFO(method);
    CHECK(io::read_npy(scratch.file("maps/" + method + ".npy")).dims() == Dims{1, 3, 224, 224});
    const io::Picture map = io::read_picture(scratch.file("maps/parrot." + method + ".png"));
    CHECK(map.width == 224);
    // More than white; one-sided gamma on inputs of both signs lights a few pixels only.
    CHECK(std::count_if(map.pixels.begin(), map.pixels.end(), [](auto v) { return v < 200; }) > 10);
  }
  CHECK(io::read_picture(scratch.file("maps/grid.png")).width > 8 * 128);
}
