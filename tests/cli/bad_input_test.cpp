// Whatever is wrong with what the command is given: one paragraph that names it, exit code 2, nothing
// written.
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "rulegrad/files/npy.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

/// The command must fail with a message that holds all these words, and must leave the directory as it was.
void must_fail(const ScratchDirectory& scratch, const std::vector<std::string>& arguments,
               const std::vector<std::string>& words) {
  const auto count = [&] {
    return std::distance(std::filesystem::recursive_directory_iterator(scratch.path()), {});
  };
  const auto before = count();
  const auto result = run_command(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.out.empty());
  for (const std::string& word : words)
    CHECK_MESSAGE(result.err.find(word) != std::string::npos, "expected in the message: " << word);
  CHECK(count() == before);
}

struct Files {
  ScratchDirectory scratch;
  std::string good = scratch.file("good.npy"), output = scratch.file("out.npy"), model = demo("mlp.onnx");
  Files() { io::write_npy(good, Tensor::full(DType::float32, {2, 22}, 0.5)); }
  std::vector<std::string> analyze(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"analyze",  model,      "--input",  good,
                                       "--method", "gradient", "--output", output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

}  // namespace

TEST_CASE("a good call works, so that the bad ones fail for their own reasons") {
  const Files files;
  const auto result = run_command(files.analyze({}));
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK(io::read_npy(files.output).dims() == Dims{2, 22});
}

TEST_CASE("models that cannot be read") {
  const Files files;
  const std::string cut = files.scratch.file("cut.onnx"), noise = files.scratch.file("noise.onnx");
  const std::string whole = testing::read_text(files.model);
  std::ofstream(cut, std::ios::binary) << whole.substr(0, whole.size() / 2);
  std::ofstream(noise, std::ios::binary) << "this is no model at all";
  must_fail(files.scratch,
            {"analyze", cut, "--input", files.good, "--method", "gradient", "--output", files.output},
            {"cut.onnx"});
  must_fail(files.scratch,
            {"analyze", noise, "--input", files.good, "--method", "gradient", "--output", files.output},
            {"noise.onnx", "ONNX"});
  must_fail(files.scratch, {"predict", files.scratch.file("none.onnx"), "--input", files.good},
            {"none.onnx"});
}

TEST_CASE("inputs of the wrong rank, size, dtype or content") {
  const Files files;
  const std::string bad = files.scratch.file("bad.npy");
  const auto run = [&](const Tensor& input, const std::vector<std::string>& words) {
    io::write_npy(bad, input);
    must_fail(files.scratch,
              {"analyze", files.model, "--input", bad, "--method", "gradient", "--output", files.output},
              words);
  };
  run(Tensor::full(DType::float32, {2, 21}, 0), {"[2, 21]", "[B, 22]"});
  run(Tensor::full(DType::float32, {2, 3, 22, 1}, 0), {"[2, 3, 22, 1]", "[B, 22]"});
  run(Tensor(DType::boolean, {2, 22}), {"boolean", "float32"});
  Tensor poisoned = Tensor::full(DType::float32, {2, 22}, 0);
  poisoned.mutable_values<float>()[27] = std::numeric_limits<float>::quiet_NaN();
  run(poisoned, {"nan", "[1, 5]"});
  poisoned.mutable_values<float>()[27] = std::numeric_limits<float>::infinity();
  run(poisoned, {"inf", "[1, 5]"});
  io::write_npy(bad, poisoned);
  must_fail(files.scratch, {"predict", files.model, "--input", files.scratch.file("none.npy")}, {"none.npy"});
  std::ofstream(bad, std::ios::binary) << "\x93NUMPY";
  must_fail(files.scratch, {"predict", files.model, "--input", bad}, {"bad.npy"});
}

TEST_CASE("unknown methods and parameters come with the nearest one") {
  const Files files;
  const auto with = [&](const std::string& method) {
    return std::vector<std::string>{"analyze",  files.model, "--input",  files.good,
                                    "--method", method,      "--output", files.output};
  };
  must_fail(files.scratch, with("lrp.epsilom"),
            {"unknown method 'lrp.epsilom'", "did you mean 'lrp.epsilon'?"});
  must_fail(files.scratch, with("lrp.epsilon:epsilom=1"),
            {"unknown parameter 'epsilom'", "did you mean 'epsilon'?"});
  must_fail(files.scratch, with("deconvnet:x=1"), {"takes no parameters"});
  must_fail(files.scratch, with("lrp.epsilon:epsilon=-1"), {"'epsilon' must lie in (0, inf)", "-1"});
  must_fail(files.scratch, with("lrp.epsilon:epsilon"), {"key=value"});
}

TEST_CASE("targets, seeds and options out of range") {
  const Files files;
  must_fail(files.scratch, files.analyze({"--target", "1"}), {"target 1 is out of range", "1 scores"});
  must_fail(files.scratch, files.analyze({"--target", "-1"}), {"out of range"});
  must_fail(files.scratch, files.analyze({"--target", "cat"}), {"--target 'cat'"});
  must_fail(files.scratch, files.analyze({"--seed", "two"}), {"--seed 'two'"});
  must_fail(files.scratch, files.analyze({"--head", "logits"}), {"did you mean 'logit'?"});
  must_fail(files.scratch, files.analyze({"--dtype", "float16"}), {"unknown dtype 'float16'"});
  must_fail(files.scratch, files.analyze({"--dtype", "int32"}), {"float32 or float64"});
  must_fail(files.scratch, files.analyze({"--colormap", "seismik"}), {"seismic"});
  must_fail(files.scratch, files.analyze({"--reduce", "sun"}), {"did you mean 'sum'?"});
  must_fail(files.scratch, files.analyze({"--method", "lrp.z"}), {"2 methods", "directory"});
  must_fail(files.scratch, files.analyze({"--rules", files.scratch.file("none.rules")}), {"none.rules"});
  must_fail(files.scratch, {"analyze"}, {"model"});
  must_fail(files.scratch, {}, {"subcommand"});
}

TEST_CASE("pictures that cannot be read and outputs that cannot be written") {
  const Files files;
  const std::string broken = files.scratch.file("broken.png");
  std::ofstream(broken, std::ios::binary) << "\x89PNG\r\n";
  must_fail(files.scratch, {"predict", demo("fashion.onnx"), "--input", broken, "--preprocess", "unit"},
            {"broken.png"});
  must_fail(files.scratch, {"predict", demo("fashion.onnx"), "--input", broken}, {"--preprocess"});
  must_fail(files.scratch, {"predict", files.model, "--input", broken}, {"not a batch of images"});
  must_fail(files.scratch,
            {"analyze", files.model, "--input", files.good, "--method", "gradient", "--output",
             files.scratch.file("no/such/out.npy")},
            {"no/such"});
  must_fail(files.scratch,
            {"analyze", files.model, "--input", files.good, "--method", "gradient", "--output",
             files.scratch.file("out.jpg")},
            {".npy", ".png"});
}

TEST_CASE("rule files with mistakes are refused with the place") {
  const Files files;
  const std::string rules = files.scratch.file("mine.rules");
  std::ofstream(rules) << "rulegrad 1\nrules mine {\n  grad(rleu(x), g) => g\n}\n";
  std::ofstream(files.scratch.file("broken.rules")) << "rulegrad 1\nrules mine {\n  grad(relu(x) => g\n}\n";
  must_fail(files.scratch, files.analyze({"--rules", files.scratch.file("broken.rules")}),
            {"broken.rules:3"});
}
