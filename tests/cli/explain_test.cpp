// `rulegrad explain` and `rulegrad diff` on the models that ship; what they print is tested with the
// documentation.
#include <doctest/doctest.h>

#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

TEST_CASE("explain writes its drawing and says so") {
  const ScratchDirectory scratch;
  const auto result = run_command(
      {"explain", demo("mlp.onnx"), "--method", "lrp.epsilon", "--dot", scratch.file("graph.dot")});
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(result.out.ends_with("wrote " + scratch.file("graph.dot") + "\n"));
  CHECK(testing::read_text(scratch.file("graph.dot")).starts_with("digraph rulegrad {"));
}

TEST_CASE("explain and diff answer for pictures, targets and other samples") {
  const std::string picture = demo("pictures/coat_6.png");
  const auto flow = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{
        "explain", demo("fashion.onnx"),        "--method",     "lrp.epsilon", "--input", picture,
        "--input", demo("pictures/bag_18.png"), "--preprocess", "unit"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_command(arguments);
    INFO(result.err);
    CHECK(result.code == 0);
    return result.out;
  };
  CHECK(flow({}).find("coat_6") != std::string::npos);
  CHECK(flow({"--sample", "1"}).find("bag_18") != std::string::npos);
  CHECK(flow({"--target", "3"}) != flow({"--target", "4"}));
  CHECK(flow({"--seed", "value"}) != flow({"--seed", "one"}));
  const auto diff = run_command({"diff", demo("fashion.onnx"), "--method", "gradient", "--method",
                                 "guided_backprop", "--input", picture, "--preprocess", "unit"});
  INFO(diff.err);
  CHECK(diff.code == 0);
  CHECK(diff.out.find("3 gradient nodes differ") != std::string::npos);
}

TEST_CASE("explain and diff refuse what they cannot do, and say what was meant") {
  struct Refused {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::string model = demo("mlp.onnx"), sample = demo("features.npy");
  const std::vector<Refused> all{
      {{"explain", model, "--method", "lrp.epsilon", "--node", "dense7"},
       "unknown node with a gradient 'dense7'; did you mean 'dense"},
      {{"explain", model, "--method", "lrp.epsilom"},
       "unknown method 'lrp.epsilom'; did you mean 'lrp.epsilon'"},
      {{"explain", "missing.onnx", "--method", "lrp.epsilon"}, "missing.onnx"},
      {{"explain", model, "--method", "lrp.epsilon", "--input", sample, "--sample", "7"},
       "--sample 7 is out of range: the input holds 1 samples, 0 to 0"},
      {{"explain", model, "--method", "lrp.epsilon", "--input", sample, "--target", "5"},
       "target 5 is out of range"},
      {{"explain", model, "--method", "lrp.epsilon", "--dot", "/no/such/folder/graph.dot"},
       "/no/such/folder/graph.dot"},
      {{"explain", model, "--method", "lrp.epsilon", "--width", "7"}, "--width"},
      {{"diff", model, "--method", "gradient"}, "diff compares two methods but 1 is given"},
      {{"diff", model, "--method", "gradient", "--method", "deconvnett"}, "did you mean 'deconvnet'"},
      {{"show", "lrp.epsilom", "--markdown"}, "did you mean 'lrp.epsilon'"},
  };
  for (const Refused& refused : all) {
    const auto result = run_command(refused.arguments);
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find(refused.says) != std::string::npos);
  }
}
