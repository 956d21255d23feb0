// Every reference file of the shared data, in float64: what Zennit, Captum, iNNvestigate, zennit-crp and the
// packages of Julia computed.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <set>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"

#include "recipe/recipe_helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> data_or_skip() {
  const auto data = shared_data();
  if (!data) MESSAGE("skipped: no shared data");
  return data;
}

Tensor run(const fs::path& model_file, const Tensor& x, const std::string& method, std::int64_t target,
           const RuleLibrary& library = RuleLibrary::builtin()) {
  const Model model = load_onnx(model_file.string(), {.dtype = DType::float64});
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  if (target >= 0) question.target = fixed_target(question.output.graph(), target);
  return explain(method, question, {{model.inputs()[0].name, x}}, {}, {}, library);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.dims() == b.dims());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

double relative_norm(const Tensor& a, const Tensor& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    difference += std::pow(a.at(i) - b.at(i), 2);
    norm += std::pow(b.at(i), 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace

TEST_CASE(
    "every reference of LeNet is met by the compatibility method of its tool to 1e-5 of the largest value") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "nets/lenet";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const std::vector<std::pair<std::string, std::string>> cases{
      {"gradient", "zennit.gradient"},
      {"zennit.beta_smooth_10", "zennit.beta_smooth:beta=10"},
      {"zennit.deconvnet", "zennit.deconvnet"},
      {"zennit.epsilon_alpha2_beta1", "zennit.epsilon_alpha2_beta1"},
      {"zennit.epsilon_alpha2_beta1_flat", "zennit.epsilon_alpha2_beta1_flat"},
      {"zennit.epsilon_gamma_box", "zennit.epsilon_gamma_box:low=-4,high=4"},
      {"zennit.epsilon_plus", "zennit.epsilon_plus"},
      {"zennit.epsilon_plus_flat", "zennit.epsilon_plus_flat"},
      {"zennit.excitation_backprop", "zennit.excitation_backprop"},
      {"zennit.guided_backprop", "zennit.guided_backprop"},
      {"zennit.integrated_gradients_20", "zennit.integrated_gradients:n_iter=20"},
      {"rule.alpha1_beta0", "zennit.alpha_beta:alpha=1,beta=0"},
      {"rule.alpha2_beta1", "zennit.alpha_beta:alpha=2,beta=1"},
      {"rule.epsilon_0.25", "zennit.epsilon:epsilon=0.25"},
      {"rule.epsilon_1e-6", "zennit.epsilon"},
      {"rule.gamma_0.25", "zennit.gamma:gamma=0.25"},
      {"rule.zplus", "zennit.z_plus"},
      {"rule.flat_first_epsilon", "zennit.composite:first_rule=flat"},
      {"rule.wsquare_first_epsilon", "zennit.composite:first_rule=w_square"},
      {"rule.zbox_first_gamma", "zennit.composite:first_rule=z_box(-4,4),conv_rule=gamma(0.25)"},
      {"captum.deconvolution", "captum.deconvolution"},
      {"captum.deeplift", "captum.deeplift"},
      {"captum.deeplift_b0.1", "captum.deeplift:baseline=0.1"},
      {"captum.guided_backprop", "captum.guided_backprop"},
      {"captum.input_x_gradient", "captum.input_x_gradient"},
      {"captum.integrated_gradients_50", "captum.integrated_gradients"},
      {"captum.integrated_gradients_50_b0.1", "captum.integrated_gradients:baseline=0.1"},
      {"captum.lrp", "captum.lrp"},
      {"captum.occlusion", "captum.occlusion:window=3,stride=2"},
      {"captum.saliency", "captum.saliency"}};
  std::set<std::string> met{"x", "y"};
  for (const auto& [file, method] : cases) {
    INFO(method, " against ", file);
    CHECK(distance(run(folder / "model.onnx", x, method, 1), io::read_npy(folder / (file + ".npy"))) < 1e-5);
    met.insert(file);
  }
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".npy")
      CHECK_MESSAGE(met.contains(entry.path().stem().string()),
                    "no method is compared with " << entry.path().filename().string());
}

TEST_CASE("all of iNNvestigate's layer references are met by its compatibility methods to 1e-5") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "innvestigate";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const std::vector<std::pair<std::string, std::string>> methods{
      {"Gradient", "gradient"},
      {"InputTimesGradient", "input_t_gradient"},
      {"Deconvnet", "deconvnet"},
      {"GuidedBackprop", "guided_backprop"},
      {"IntegratedGradients", "integrated_gradients"},
      {"LRPZ", "lrp.z"},
      {"LRPZIgnoreBias", "lrp.z_IB"},
      {"LRPEpsilon", "lrp.epsilon"},
      {"LRPEpsilonIgnoreBias", "lrp.epsilon_IB"},
      {"LRPFlat", "lrp.flat"},
      {"LRPWSquare", "lrp.w_square"},
      {"LRPAlpha1Beta0", "lrp.alpha_1_beta_0"},
      {"LRPAlpha1Beta0IgnoreBias", "lrp.alpha_1_beta_0_IB"},
      {"LRPAlpha2Beta1", "lrp.alpha_2_beta_1"},
      {"LRPAlpha2Beta1IgnoreBias", "lrp.alpha_2_beta_1_IB"},
      {"LRPZPlus", "lrp.z_plus"},
      {"LRPZPlusFast", "lrp.z_plus_fast"},
      {"LRPSequentialPresetA", "lrp.sequential_preset_a"},
      {"LRPSequentialPresetB", "lrp.sequential_preset_b"},
      {"LRPSequentialPresetAFlat", "lrp.sequential_preset_a_flat"},
      {"LRPSequentialPresetBFlat", "lrp.sequential_preset_b_flat"},
      {"LRPZ_Flat_input_layer_rule", "lrp.z:input_layer_rule=flat"},
      {"LRPZ_boxed_input_layer_rule", "lrp.z:input_layer_rule=box(-10,10)"},
      {"DeepTaylor", "deep_taylor"},
      {"BoundedDeepTaylor", "deep_taylor.bounded:low=-128,high=128"},
      {"SmoothGrad", "smoothgrad"}};
  int checked = 0;
  for (const auto& [name, method] : methods)
    for (const auto& entry : fs::directory_iterator(folder / name)) {
      const Tensor map = run(entry.path() / "model.onnx", x, "innvestigate." + method, -1);
      const Tensor expected = io::read_npy(entry.path() / "attribution.npy");
      INFO(method, " against ", name, "/", entry.path().filename().string());
      ++checked;
      if (name != "SmoothGrad") {
        CHECK(largest_difference(map, expected) < 1e-5);
        continue;
      }
      // Two means of 64 draws of a number between 0 and the size of a weight: six deviations of their
      // difference at most.
      double reach = 0;
      for (std::int64_t i = 0; i < expected.size(); ++i) reach = std::max(reach, std::abs(expected.at(i)));
      CHECK(largest_difference(map, expected) < 6 * std::sqrt(2.0 / 64) / 2 * reach);
    }
  CHECK(checked == 78);
}

TEST_CASE("zennit-crp's maps under conditions on the channels of two layers agree to its own tolerance") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "references/zennit_crp";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  Graph& graph = question.output.graph();
  const std::string input = model.inputs()[0].name;
  question.target = fixed_target(graph, 9);
  // A mask of channels for the output of each of the two layers, and the size of the score as the seed.
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(R"(rulegrad 1
analyzer conditional(second: tensor, parallel: tensor) {
  seed onehot(target) * abs(y)
  use { grad(y: conv, r) when name(y, "*conv2*") => next(r * along(second, 1, y))
        grad(y: conv, r) when name(y, "*parallel*") => next(r * along(parallel, 1, y)) }
  extends zennit.epsilon_plus
}
)",
                   "conditions.rules");
  const Tensor heatmaps = io::read_npy(folder / "heatmaps.npy"),
               channels = io::read_npy(folder / "channel_heatmaps.npy");
  std::int64_t second_channels = 0, parallel_channels = 0;
  for (const Expr e : topological_order(std::span(&question.output, 1)))
    if (e.is("conv"))
      for (const std::string& name : graph.names(e)) {
        if (name.find("conv2") != std::string::npos) second_channels = e.shape()[1].factor;
        if (name.find("parallel") != std::string::npos) parallel_channels = e.shape()[1].factor;
      }
  REQUIRE(second_channels > 0);
  REQUIRE(parallel_channels > 0);
  const auto mask = [](std::int64_t count, const std::optional<std::vector<std::int64_t>>& kept) {
    std::vector<double> values(static_cast<std::size_t>(count), kept ? 0.0 : 1.0);
    if (kept)
      for (const std::int64_t channel : *kept) values[static_cast<std::size_t>(channel)] = 1;
    return Tensor({count}, std::span<const double>(values));
  };
  const auto map_of = [&](const std::optional<std::vector<std::int64_t>>& second,
                          const std::optional<std::vector<std::int64_t>>& parallel) {
    const AnalyzerCall call{.name = "conditional",
                            .arguments = {{"second", mask(second_channels, second)},
                                          {"parallel", mask(parallel_channels, parallel)}}};
    return evaluate(analyze(library, call, question).attributions, {{input, x}}).at(0);
  };
  const auto agrees = [&](const Tensor& map, const Tensor& rows, std::int64_t row) {
    const std::int64_t each = map.size();
    double largest = 0;
    for (std::int64_t i = 0; i < each; ++i) largest = std::max(largest, std::abs(rows.at(row * each + i)));
    double worst = 0;
    for (std::int64_t i = 0; i < each; ++i)
      worst = std::max(worst, std::abs(map.at(i) - rows.at(row * each + i)));
    CHECK(worst <= 1e-4 * largest + 1e-8);
  };
  using Kept = std::vector<std::int64_t>;
  agrees(map_of({}, {}), heatmaps, 0);
  agrees(map_of(Kept{}, {}), heatmaps, 1);
  agrees(map_of(Kept{2}, {}), heatmaps, 2);
  agrees(map_of({}, Kept{}), heatmaps, 3);
  agrees(map_of(Kept{3, 2, 1}, Kept{}), heatmaps, 4);
  for (std::int64_t channel = 0; channel < second_channels; ++channel) {
    INFO("channel ", channel);
    agrees(map_of(Kept{channel}, Kept{}), channels, channel);
  }
}

TEST_CASE("zennit-crp's relevances at the hidden first convolution agree to its own tolerance") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "references/zennit_crp";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
  const Expr output = model.head(HeadKind::logit);
  Expr first;
  for (const Expr e : topological_order(std::span(&output, 1)))
    if (e.is("batch_norm") && e.shape()[2].is(26)) first = e;
  REQUIRE(first);
  Question question = question_for(output, {first});
  question.target = fixed_target(output.graph(), 9);
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(R"(rulegrad 1
analyzer conditional(second: tensor, parallel: tensor) {
  seed onehot(target) * abs(y)
  use { grad(y: conv, r) when name(y, "*conv2*") => next(r * along(second, 1, y))
        grad(y: conv, r) when name(y, "*parallel*") => next(r * along(parallel, 1, y)) }
  extends zennit.epsilon_plus
}
)",
                   "conditions.rules");
  const auto mask = [](const std::vector<std::int64_t>& kept) {
    std::vector<double> values(16, 0.0);
    for (const std::int64_t channel : kept) values[static_cast<std::size_t>(channel)] = 1;
    return Tensor({16}, std::span<const double>(values));
  };
  const std::vector<std::int64_t> all{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, none;
  const Tensor rows = io::read_npy(folder / "conv1_relevances.npy"),
               channels = io::read_npy(folder / "channel_conv1_relevances.npy");
  const auto agrees = [&](const std::vector<std::int64_t>& second, const std::vector<std::int64_t>& parallel,
                          const Tensor& expected, std::int64_t row) {
    INFO("row ", row);
    const AnalyzerCall call{.name = "conditional",
                            .arguments = {{"second", mask(second)}, {"parallel", mask(parallel)}}};
    const Tensor map =
        evaluate(analyze(library, call, question).attributions, {{model.inputs()[0].name, x}}).at(0);
    const std::int64_t each = map.size();
    REQUIRE(expected.size() % each == 0);
    Tensor one(DType::float64, map.dims());
    for (std::int64_t i = 0; i < each; ++i)
      one.mutable_values<double>()[static_cast<std::size_t>(i)] = expected.at(row * each + i);
    // Without the way through conv2 nothing reaches conv1.
    if (largest_difference(one, Tensor(DType::float64, one.dims())) == 0)
      CHECK(largest_difference(map, one) == 0);
    else
      CHECK(relative_norm(map, one) < 3e-5);
  };
  agrees(all, all, rows, 0);
  agrees(none, all, rows, 1);
  agrees({2}, all, rows, 2);
  agrees(all, none, rows, 3);
  agrees({3, 2, 1}, none, rows, 4);
  for (std::int64_t channel = 0; channel < 16; ++channel) agrees({channel}, none, channels, channel);
}

TEST_CASE(
    "zennit-crp's hand-written numbers: two parallel layers under conditions, at the input and at both "
    "layers") {
  const auto data = data_or_skip();
  if (!data) return;
  const Model model =
      load_onnx((*data / "references/zennit_crp/two_branches.onnx").string(), {.dtype = DType::float64});
  const Expr output = model.outputs()[0].expr;
  Graph& graph = output.graph();
  Question question =
      question_for(output, {model.inputs()[0].expr, graph.find("layer1").at(0), graph.find("layer2").at(0)},
                   fixed_target(graph, 0));
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(R"(rulegrad 1
analyzer conditional(first: tensor, second: tensor) {
  seed onehot(target) * y
  use { grad(y: dense, r) when name(y, "layer1") => next(r * along(first, 1, y))
        grad(y: dense, r) when name(y, "layer2") => next(r * along(second, 1, y)) }
  extends zennit.epsilon
}
)",
                   "conditions.rules");
  const auto check = [&](const std::vector<double>& first, const std::vector<double>& second,
                         const std::vector<double>& expected) {
    const auto tensor = [](const std::vector<double>& values) {
      return Tensor({2}, std::span<const double>(values));
    };
    const AnalyzerCall call{.name = "conditional",
                            .arguments = {{"first", tensor(first)}, {"second", tensor(second)}}};
    const std::vector<double> at{-1, 1};
    const auto maps = evaluate(analyze(library, call, question).attributions,
                               {{model.inputs()[0].name, Tensor({1, 2}, std::span<const double>(at))}});
    const std::vector<std::vector<double>> all{expected, {1, 4}, {5, 0}};
    for (std::size_t m = 0; m < 3; ++m)
      for (std::int64_t i = 0; i < 2; ++i)
        CHECK(std::abs(maps[m].at(i) - all[m][static_cast<std::size_t>(i)]) < 1e-4);
  };
  check({1, 1}, {1, 1}, {-11, 21});
  check({1, 0}, {0, 0}, {-1, 2});
  check({1, 0}, {1, 0}, {-11, 17});
}

TEST_CASE("RelevancePropagation.jl's and ExplainableAI.jl's maps agree to the tolerance of their own tests") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "references/julia_cnn";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  RuleLibrary library = RuleLibrary::builtin();
  // Its alpha-beta stabilises with 1e-9 and drops empty parts.
  library.add_text(R"(rulegrad 1
analyzer julia.composite {
  use lrp.flat(1e-9) on first(affine)
  use lrp.alpha_beta(2, 1, 1e-9, 1, 0) on conv
  use lrp.epsilon(1e-6)
  use lrp.rest
}
)",
                   "julia.rules");
  for (const auto& [suffix, target] : {std::pair<std::string, std::int64_t>{"max", 81}, {"ns1", 0}}) {
    INFO("target ", target);
    CHECK(relative_norm(run(folder / "model.onnx", x, "lrp.epsilon:epsilon=1e-9", target),
                        io::read_npy(folder / ("LRPZero_" + suffix + ".npy"))) < 0.05);
    CHECK(relative_norm(run(folder / "model.onnx", x, "julia.composite", target, library),
                        io::read_npy(folder / ("LRPEpsilonAlpha2Beta1Flat_" + suffix + ".npy"))) < 0.05);
  }
  CHECK(relative_norm(run(folder / "model.onnx", x, "gradient", 81),
                      io::read_npy(folder / "Gradient_max.npy")) < 0.05);
  CHECK(relative_norm(run(folder / "model.onnx", x, "input_times_gradient", 81),
                      io::read_npy(folder / "InputTimesGradient_max.npy")) < 0.05);
}
