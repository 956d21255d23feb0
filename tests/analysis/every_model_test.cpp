// Every shared model: mapped or refused for a known reason, and explained by every method or refused by name.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <set>
#include <string>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/program.hpp"

#include "shared_data.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

/// Models that hold operators beyond what is mapped, and the one that the refusal must name.
const std::map<std::string, std::string> refused_models{
    {"silero_vad_16k_op15.onnx", "If"}, {"silero_vad_sequence.onnx", "LSTM"}, {"mnist_lstm.onnx", "LSTM"}};

/// Layer-wise relevance propagation has no rules for attention here: the refusal must name what is left open.
const std::set<std::string> attention_models{"stories260k.onnx", "stories260k_t16.onnx"};

const std::vector<std::string> gradient_methods{"gradient", "input_times_gradient", "deconvnet",
                                                "guided_backprop"};
const std::vector<std::string> lrp_methods{"lrp.z", "lrp.epsilon", "lrp.gamma", "lrp.epsilon_plus_flat"};

std::vector<fs::path> models_of(const fs::path& data) {
  std::vector<fs::path> models;
  for (const char* folder :
       {"imagenet", "mnist", "fashion_mnist", "cifar10", "faces", "audio", "tabular", "text", "onnx_light"})
    for (const auto& entry : fs::directory_iterator(data / folder))
      if (entry.path().extension() == ".onnx") models.push_back(entry.path());
  std::sort(models.begin(), models.end());
  return models;
}

/// Values between 0 and 1, or token numbers, in the shape of the model's input with its free axes set to
/// small extents.
Tensor values_for(const ModelInput& input) {
  Tensor x(input.expr.dtype(), input.expr.shape().at({.batch = 2}));
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double wave = 0.5 + 0.5 * std::sin(0.7 * static_cast<double>(i));
    if (x.dtype() == DType::int64)
      x.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = 1 + i % 7;
    else
      x.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(wave);
  }
  return x;
}

/// What can be explained: the input, or, where that holds token numbers, the vectors looked up for them.
Expr explained_of(const Model& model, Expr output) {
  const Expr input = model.inputs()[0].expr;
  if (is_floating(input.dtype())) return input;
  for (const Expr node : topological_order(std::span(&output, 1)))
    if (node.is("gather") && is_floating(node.dtype()) && node.operand(1) == input) return node;
  FAIL("no node looks the tokens up");
  return input;
}

}  // namespace

TEST_CASE("every shared model is explained by every method with finite numbers, or refused by name") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  std::size_t explained_models = 0, refusals = 0;
  for (const fs::path& file : models_of(*data)) {
    const std::string name = file.filename().string();
    INFO(name);
    LoadOptions load;
    if (name == "stories260k.onnx") load.extents = {{"T", 8}};
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
    if (attention_models.contains(name)) {
      for (const std::string& method : lrp_methods)
        CHECK_THROWS_WITH_AS((void)analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question),
                             doctest::Contains("softmax"), Error);
    } else {
      methods.insert(methods.end(), lrp_methods.begin(), lrp_methods.end());
    }
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
