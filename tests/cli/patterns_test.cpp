// `rulegrad patterns` makes what `rulegrad analyze --aux` reads.
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

TEST_CASE("patterns of the demo network explain it, by rules of one's own and by those that ship") {
  const ScratchDirectory scratch;
  std::vector<std::string> arguments{"patterns", demo("fashion.onnx"),         "--preprocess", "unit",
                                     "--output", scratch.file("patterns.npz"), "--batch-size", "3"};
  for (const auto& entry : std::filesystem::directory_iterator(demo("pictures")))
    arguments.insert(arguments.end(), {"--input", entry.path().string()});
  const auto made = run_command(arguments);
  INFO(made.err);
  REQUIRE(made.code == 0);
  const auto arrays = io::read_npz(scratch.file("patterns.npz"));
  REQUIRE(arrays.size() == 4);
  CHECK(arrays[0].first == "conv1/pattern");
  CHECK(arrays[0].second.dims() == Dims{16, 1, 3, 3});

  std::ofstream(scratch.file("own.rules"))
      << "rulegrad 1\n\nanalyzer own.pattern {\n  seed onehot(target) * y\n"
         "  use { grad(y: affine(x, w), g) => vjp(y(w = w * aux(y, \"pattern\", w)), g) }\n  default "
         "gradient\n}\n";
  const auto map = [&](const std::string& method, const std::string& file) {
    const auto explained =
        run_command({"analyze", demo("fashion.onnx"), "--input", demo("pictures/bag_18.png"), "--preprocess",
                     "unit", "--aux", scratch.file("patterns.npz"), "--rules", scratch.file("own.rules"),
                     "--method", method, "--output", scratch.file(file)});
    INFO(explained.err);
    REQUIRE(explained.code == 0);
    return io::read_npy(scratch.file(file));
  };
  const Tensor own = map("own.pattern", "own.npy"), shipped = map("pattern.attribution", "shipped.npy");
  double size = 0;
  for (std::int64_t i = 0; i < own.size(); ++i) {
    size += std::abs(own.at(i));
    CHECK(own.at(i) == doctest::Approx(shipped.at(i)));
  }
  CHECK(size > 0);
}

TEST_CASE("patterns: what cannot be done is told, and nothing is written") {
  const ScratchDirectory scratch;
  const auto fails = [&](std::vector<std::string> arguments, const std::string& word) {
    arguments.insert(arguments.begin(), {"patterns", demo("mlp.onnx")});
    const auto result = run_command(arguments);
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(result.err.find(word) != std::string::npos);
    CHECK(std::filesystem::is_empty(scratch.path()));
  };
  fails({"--input", demo("features.npy"), "--output", scratch.file("a.npy")}, ".npz");
  fails({"--input", demo("features.npy"), "--type", "rleu", "--output", scratch.file("a.npz")}, "relu");
  fails({"--input", demo("features.npy")}, "--output");
  fails({"--input", scratch.file("none.npy"), "--output", scratch.file("a.npz")}, "none.npy");
}
