// `rulegrad export` writes a file that gives what `rulegrad analyze` gives.
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

TEST_CASE("an exported file explains the samples of a table as analyze does") {
  const ScratchDirectory scratch;
  const std::vector<std::string> methods{"--method", "gradient", "--method", "integrated_gradients:steps=5"};
  std::vector<std::string> exporting{"export", demo("mlp.onnx"), "--output", scratch.file("heat.onnx")};
  std::vector<std::string> analysing{"analyze",  demo("mlp.onnx"),       "--input", demo("features.npy"),
                                     "--output", scratch.file("own.npz")};
  for (auto* arguments : {&exporting, &analysing})
    arguments->insert(arguments->end(), methods.begin(), methods.end());
  const auto made = run_command(exporting);
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(made.out.find("output  integrated_gradients  float[N, 22]") != std::string::npos);
  CHECK(made.out.find("operator set 13") != std::string::npos);
  REQUIRE(run_command(analysing).code == 0);
  const Model file = load_onnx(scratch.file("heat.onnx"));
  REQUIRE(file.outputs().size() == 3);
  std::vector<Expr> outputs;
  for (const ModelOutput& output : file.outputs()) outputs.push_back(output.expr);
  Tensor x = io::read_npy(demo("features.npy"));
  if (x.dims().size() == 1) x = x.reshaped({1, x.size()});
  const std::vector<Tensor> found = evaluate(outputs, {{file.inputs()[0].name, x}});
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    const Tensor own = io::read_npz(scratch.file("own.npz"), file.outputs()[i].name);
    REQUIRE(own.size() == found[i].size());
    double difference = 0, size = 0;
    for (std::int64_t k = 0; k < own.size(); ++k) {
      difference = std::max(difference, std::abs(own.at(k) - found[i].at(k)));
      size = std::max(size, std::abs(own.at(k)));
    }
    CHECK(size > 0);
    CHECK(difference <= 1e-5 * size);
  }
}

TEST_CASE("export: what cannot be done is told, and nothing is written") {
  const ScratchDirectory scratch;
  const auto fails = [&](std::vector<std::string> arguments, const std::string& word) {
    arguments.insert(arguments.begin(), {"export", demo("fashion.onnx")});
    const auto result = run_command(arguments);
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(result.err.find(word) != std::string::npos);
    CHECK(std::filesystem::is_empty(scratch.path()));
  };
  const std::string file = scratch.file("heat.onnx");
  fails({"--method", "gradient", "--output", scratch.file("heat.npy")}, ".onnx");
  fails({"--method", "gradient"}, "--output");
  fails({"--method", "gradeint", "--output", file}, "gradient");
  fails({"--method", "gradient", "--output", file, "--target", "3"}, "write largest or given");
  fails({"--method", "gradient", "--output", file, "--opset", "7"}, "those from 13 to 23");
  fails({"--method", "gradient", "--output", file, "--share-weights"}, "only from the folder");
}
