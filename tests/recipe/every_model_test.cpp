// Every shared model: mapped or refused for a known reason, and explained by every method or refused by name.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/shared_models.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

const std::vector<std::string> gradient_methods{
    "gradient", "input_times_gradient", "deconvnet:allow_unmatched=1", "guided_backprop:allow_unmatched=1"};
const std::vector<std::string> lrp_methods{"lrp.z", "lrp.epsilon", "lrp.gamma", "lrp.epsilon_plus_flat"};

}  // namespace

TEST_CASE("every shared model is explained by every method with finite numbers, or refused by name") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  std::size_t explained_models = 0, refusals = 0;
  for (const std::filesystem::path& file : models_of(*data)) {
    const std::string name = file.filename().string();
    INFO(name);
    const LoadOptions load = load_options_of(file);
    if (const auto refused = refused_models.find(name); refused != refused_models.end()) {
      ++refusals;
      try {
        (void)load_onnx(file.string(), load);
        FAIL("it was expected to be refused");
      } catch (const Error& error) {
        CHECK(std::string(error.what()).find(refused->second) != std::string::npos);
      }
      continue;
    }
    const Model model = load_onnx(file.string(), load);
    const Expr output = model.head(HeadKind::logit);
    const Expr explained = explained_of(model, output);
    const Question question{.output = output, .explained = {explained}, .target = {}, .seed_tensor = {}};
    std::vector<std::string> methods = gradient_methods;
    methods.insert(methods.end(), lrp_methods.begin(), lrp_methods.end());
    if (name == "mnist_lstm.onnx") methods.push_back("lrp.lstm");
    std::vector<Expr> outputs;
    for (const std::string& method : methods)
      outputs.push_back(
          analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question).attributions[0]);
    const Tensor x = values_for(model.inputs()[0]);
    const std::vector<Tensor> results = Program::compile(outputs).run({{model.inputs()[0].name, x}});
    for (std::size_t m = 0; m < methods.size(); ++m) {
      INFO(methods[m]);
      CHECK(results[m].dims() == explained.shape().at({.batch = x.dims()[0]}));
      bool finite = true;
      for (std::int64_t i = 0; i < results[m].size(); ++i) finite = finite && std::isfinite(results[m].at(i));
      CHECK(finite);
    }
    ++explained_models;
  }
  CHECK(refusals == refused_models.size());
  CHECK(explained_models >= 20);
}
