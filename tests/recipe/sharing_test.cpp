// One graph: methods that are asked for together share the forward pass and whatever else they have in
// common.
#include <doctest/doctest.h>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "places.hpp"

using namespace rulegrad;

TEST_CASE("several methods in one program compute the forward pass once") {
  const Model model = load_onnx(source_root() / "examples/demo/fashion.onnx");
  const Question question{.output = model.head(HeadKind::logit),
                          .explained = {model.inputs()[0].expr},
                          .target = {},
                          .seed_tensor = {}};
  const auto contractions = [&](const std::vector<std::string>& methods) {
    std::vector<Expr> outputs{question.output};
    for (const std::string& method : methods)
      outputs.push_back(
          analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question).attributions[0]);
    return Program::compile(outputs).stats({}).contractions;
  };
  const std::size_t forward = contractions({});
  CHECK(forward == 4);  // two convolutions, two dense layers

  // Backward through each layer once; input times gradient is the same backward pass with one product behind
  // it.
  CHECK(contractions({"gradient"}) == 2 * forward);
  CHECK(contractions({"gradient", "input_times_gradient"}) == 2 * forward);
  // The cotangent of the last dense layer is the same in all three, so is what that layer sends down.
  CHECK(contractions({"gradient", "deconvnet", "guided_backprop"}) == forward + 3 * forward - 2);

  std::size_t alone = 0;
  const std::vector<std::string> all{
      "gradient", "input_times_gradient", "deconvnet", "guided_backprop",
      "lrp.z",    "lrp.epsilon",          "lrp.gamma", "lrp.epsilon_plus_flat"};
  for (const std::string& method : all) alone += contractions({method}) - forward;
  const std::size_t together = contractions(all);
  CHECK(together <= forward + alone);
  CHECK(together < alone);  // the forward pass, counted once, and shared backward layers
}
