// Attributions that other tools computed for the same models and inputs.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "shared_data.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

/// One method in float64 on all samples; `target` -1: each sample's largest output.
Tensor explain(const fs::path& model_file, const Tensor& x, const std::string& method, std::int64_t target,
               Question::Seed seed) {
  const Model model = load_onnx(model_file.string(), {.dtype = DType::float64});
  Question question;
  question.output = model.head(HeadKind::logit);
  question.explained = {model.inputs()[0].expr};
  question.seed = seed;
  if (target >= 0) question.target = question.output.graph().constant(Tensor({1}, {target}));
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
  return evaluate(analysis.attributions, {{model.inputs()[0].name, x.cast(DType::float64)}})[0];
}

struct Difference {
  double absolute = 0, of_largest = 0;
};

Difference difference(const Tensor& actual, const Tensor& expected) {
  REQUIRE(actual.dims() == expected.dims());
  double worst = 0, largest = 0;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    worst = std::max(worst, std::abs(actual.at(i) - expected.at(i)));
    largest = std::max(largest, std::abs(expected.at(i)));
  }
  return {worst, worst / largest};
}

}  // namespace

TEST_CASE("LeNet agrees with Zennit to 1e-5 of the largest value") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const fs::path folder = *data / "nets/lenet";
  const Tensor x = io::read_npy(folder / "x.npy");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"gradient", "gradient"},
      {"zennit.guided_backprop", "guided_backprop"},
      {"zennit.deconvnet", "deconvnet"},
      {"rule.epsilon_1e-6", "lrp.epsilon:epsilon=1e-6"},
      {"rule.epsilon_0.25", "lrp.epsilon:epsilon=0.25"},
      {"zennit.epsilon_plus_flat", "lrp.epsilon_plus_flat"},
      {"captum.input_x_gradient", "input_times_gradient"}};
  for (const auto& [file, method] : cases) {
    INFO(method, " against ", file);
    CHECK(difference(explain(folder / "model.onnx", x, method, 1, Question::Seed::one),
                     io::read_npy(folder / (file + ".npy")))
              .of_largest < 1e-5);
  }
}

TEST_CASE("iNNvestigate's layer references agree to 1e-5") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const fs::path folder = *data / "innvestigate";
  const Tensor x = io::read_npy(folder / "x.npy");
  struct Case {
    std::string folder, method;
    Question::Seed seed;
  };
  // Its gradient family starts from 1, everything else from the value of the output.
  const std::vector<Case> cases{
      {"Gradient", "gradient", Question::Seed::one},
      {"InputTimesGradient", "input_times_gradient", Question::Seed::one},
      {"Deconvnet", "deconvnet:allow_unmatched=1", Question::Seed::value},
      {"GuidedBackprop", "guided_backprop:allow_unmatched=1", Question::Seed::value},
      {"LRPZ", "lrp.z", Question::Seed::value},
      {"LRPEpsilon", "lrp.epsilon:epsilon=1e-7", Question::Seed::value}};
  int checked = 0;
  for (const Case& reference : cases)
    for (const auto& entry : fs::directory_iterator(folder / reference.folder)) {
      const Tensor expected = io::read_npy(entry.path() / "attribution.npy");
      INFO(reference.folder, "/", entry.path().filename().string());
      CHECK(
          difference(explain(entry.path() / "model.onnx", x, reference.method, -1, reference.seed), expected)
              .absolute < 1e-5);
      ++checked;
    }
  CHECK(checked == 18);
}
