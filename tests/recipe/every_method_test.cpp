// Every method that ships: that it is there, is documented, and explains the demo model with finite numbers.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/onnx/model.hpp"

#include "places.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

TEST_CASE("the methods that users come for are there, and each says what it is") {
  const RuleLibrary& library = RuleLibrary::builtin();
  std::vector<std::string> wanted{"gradient",
                                  "input_times_gradient",
                                  "smoothgrad",
                                  "smoothgrad_squared",
                                  "vargrad",
                                  "integrated_gradients",
                                  "expected_gradients",
                                  "deconvnet",
                                  "guided_backprop",
                                  "rectgrad",
                                  "beta_smooth",
                                  "excitation_backprop",
                                  "deeplift.rescale",
                                  "deeplift_shap",
                                  "grad_cam",
                                  "guided_grad_cam",
                                  "layer_cam",
                                  "hirescam",
                                  "random",
                                  "input",
                                  "occlusion",
                                  "shapley",
                                  "deep_taylor",
                                  "deep_taylor.bounded",
                                  "pattern.net",
                                  "pattern.attribution"};
  for (const char* name : {"z",
                           "epsilon",
                           "gamma",
                           "generalized_gamma",
                           "alpha_beta",
                           "alpha_1_beta_0",
                           "alpha_2_beta_1",
                           "z_plus",
                           "w_square",
                           "flat",
                           "z_box",
                           "pass",
                           "norm",
                           "epsilon_plus",
                           "epsilon_plus_flat",
                           "epsilon_alpha2_beta1",
                           "epsilon_alpha2_beta1_flat",
                           "epsilon_gamma_box",
                           "sequential_preset_a",
                           "sequential_preset_b",
                           "sequential_preset_a_flat",
                           "sequential_preset_b_flat",
                           "sequential_preset_b_flat_until",
                           "attention",
                           "attention_cp",
                           "vit"})
    wanted.push_back(std::string("lrp.") + name);
  for (const char* name :
       {"attn_lrp", "cp_lrp", "attn_lrp_llama", "cp_lrp_llama", "attn_lrp_efficient", "cp_lrp_efficient"})
    wanted.push_back(std::string("lxt.") + name);
  for (const char* name : {"deeplift.reveal_cancel", "relp", "gim", "ali", "libragrad"})
    wanted.emplace_back(name);
  for (const char* name : {"epsilon",
                           "gamma",
                           "z_plus",
                           "alpha_beta",
                           "z_box",
                           "w_square",
                           "flat",
                           "pass",
                           "norm",
                           "epsilon_gamma_box",
                           "epsilon_plus",
                           "epsilon_alpha2_beta1",
                           "epsilon_plus_flat",
                           "epsilon_alpha2_beta1_flat",
                           "deconvnet",
                           "guided_backprop",
                           "beta_smooth",
                           "excitation_backprop",
                           "gradient",
                           "smooth_grad",
                           "integrated_gradients",
                           "occlusion"})
    wanted.push_back(std::string("zennit.") + name);
  for (const char* name : {"input",
                           "random",
                           "gradient",
                           "gradient.baseline",
                           "input_t_gradient",
                           "deconvnet",
                           "guided_backprop",
                           "integrated_gradients",
                           "smoothgrad",
                           "lrp",
                           "lrp.z",
                           "lrp.z_IB",
                           "lrp.epsilon",
                           "lrp.epsilon_IB",
                           "lrp.w_square",
                           "lrp.flat",
                           "lrp.alpha_beta",
                           "lrp.alpha_2_beta_1",
                           "lrp.alpha_2_beta_1_IB",
                           "lrp.alpha_1_beta_0",
                           "lrp.alpha_1_beta_0_IB",
                           "lrp.z_plus",
                           "lrp.z_plus_fast",
                           "lrp.sequential_preset_a",
                           "lrp.sequential_preset_b",
                           "lrp.sequential_preset_a_flat",
                           "lrp.sequential_preset_b_flat",
                           "lrp.sequential_preset_b_flat_until_idx",
                           "deep_taylor",
                           "deep_taylor.bounded"})
    wanted.push_back(std::string("innvestigate.") + name);
  for (const char* name : {"lrp", "lrp.gamma", "lrp.alpha1_beta0", "deeplift", "integrated_gradients",
                           "saliency", "guided_backprop", "deconvolution"})
    wanted.push_back(std::string("captum.") + name);
  const std::vector<std::string> names = library.analyzer_names();
  for (const std::string& name : wanted)
    CHECK_MESSAGE(std::find(names.begin(), names.end(), name) != names.end(), name);
  for (const std::string& name : names) CHECK_MESSAGE(library.analyzer(name).doc.size() > 20, name);
}

TEST_CASE("every method explains the demo model with finite numbers, and every gradient node with a rule") {
  const Model model = load_onnx((source_root() / "examples/demo/fashion.onnx").string(), {});
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  Tensor x(DType::float32, {1, 1, 28, 28}), baselines(DType::float32, {2, 1, 28, 28});
  for (std::size_t i = 0; i < 784; ++i) {
    x.mutable_values<float>()[i] = static_cast<float>(0.5 + 0.5 * std::sin(0.37 * static_cast<double>(i)));
    baselines.mutable_values<float>()[i] = 0.25f;
  }
  AuxiliaryArrays patterns("test");
  std::string component;  // some inner node, for those that ask for one
  for (const Expr e : topological_order(std::span(&question.output, 1)))
    if (e.op().is(OpClass::affine)) {
      if (component.empty()) component = e.graph().names(e).at(0);
      patterns.add(e.graph().names(e).at(0) + "/pattern",
                   evaluate(std::vector<Expr>{e.operand(1)}, {}).at(0));
    }
  question.aux = std::make_shared<AuxiliaryArrays>(patterns);
  const RuleLibrary& library = RuleLibrary::builtin();
  for (const std::string& name : library.analyzer_names()) {
    INFO(name);
    // Of tokens, which no layer here has: token_methods_test.
    if (name == "grad_cam.patches" || name == "grad_cam.tokens") continue;
    AnalyzerCall call{.name = name, .arguments = {}};
    for (const Parameter& parameter : library.analyzer(name).parameters) {
      // Few samples are enough here.
      const bool counts = parameter.name == "n" || parameter.name == "steps" || parameter.name == "n_iter" ||
                          parameter.name == "n_steps" || parameter.name == "augment_by_n" ||
                          parameter.name == "nt_samples";
      if (counts)
        call.arguments.emplace_back(parameter.name, 2.0);
      else if (parameter.fallback != no_term)
        continue;
      else if (parameter.type == "tensor")
        call.arguments.emplace_back(parameter.name, baselines);
      else if (parameter.type == "rules")
        call.arguments.emplace_back(parameter.name, std::string("z"));
      else if (parameter.type == "node")
        call.arguments.emplace_back(parameter.name,
                                    parameter.name == "source" ? model.inputs()[0].name : component);
      else
        call.arguments.emplace_back(parameter.name, parameter.name == "low" ? 0.0 : 1.0);
    }
    const Analysis analysis = analyze(library, call, question);
    for (const Step& step : analysis.steps) CHECK_FALSE(step.by->rule_set.empty());
    const Tensor map = evaluate(analysis.attributions, {{model.inputs()[0].name, x}}).at(0);
    CHECK(map.size() == 784);
    bool finite = true;
    for (std::int64_t i = 0; i < map.size(); ++i) finite = finite && std::isfinite(map.at(i));
    CHECK(finite);
  }
}
