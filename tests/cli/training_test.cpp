// The demo networks are what the example program makes, and as good as they are said to be.
#include <cstdlib>
#include <doctest/doctest.h>

#include "cli/command.hpp"

using rulegrad::testing::demo;
using rulegrad::testing::read_text;
using rulegrad::testing::run_command;
using rulegrad::testing::ScratchDirectory;

namespace {

constexpr const char* fashion_mnist = "/usr/share/datasets/fashion-mnist";

}  // namespace

TEST_CASE("training the small demo network again gives a network of the same shape that has learnt as much") {
  const ScratchDirectory scratch;
  REQUIRE(std::system(("'" + train_program() + "' mlp '" + scratch.file("mlp.onnx") + "' >'" +
                       scratch.file("out") + "'")
                          .c_str()) == 0);
  // On one machine the file is the same byte for byte; the last bits of a product may differ between
  // processors, and training carries them on.
  const std::string losses = read_text(scratch.file("out"));
  const std::size_t last = losses.rfind("mean loss ");
  REQUIRE(last != std::string::npos);
  CHECK(std::stod(losses.substr(last + 10)) < 0.2);
  const auto shown = [&](const std::string& model) {
    const std::string text = run_command({"inspect", model}).out;
    return text.substr(text.find('\n'));
  };
  CHECK(shown(scratch.file("mlp.onnx")) == shown(demo("mlp.onnx")));
}

TEST_CASE("the demo classifier names at least 89 % of the test pictures of its data set") {
  if (!std::filesystem::is_directory(fashion_mnist)) {
    MESSAGE("skipped: the package dataset-fashion-mnist is not installed");
    return;
  }
  const ScratchDirectory scratch;
  REQUIRE(std::system(("'" + train_program() + "' accuracy '" + fashion_mnist + "' '" + demo("fashion.onnx") +
                       "' >'" + scratch.file("out") + "'")
                          .c_str()) == 0);
  const std::string said = read_text(scratch.file("out"));
  REQUIRE(said.starts_with("test accuracy "));
  CHECK(std::stod(said.substr(14)) >= 89);
}
