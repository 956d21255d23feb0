// The gradient family against what Captum, Zennit, iNNvestigate and ExplainableAI.jl computed for the same
// networks.
#include <doctest/doctest.h>
#include <fmt/format.h>

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

Question question_of(const Model& model, std::int64_t target) {
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  if (target >= 0) question.target = fixed_target(question.output.graph(), target);
  return question;
}

}  // namespace

TEST_CASE(
    "paths, windows and smoothed gradients on LeNet agree with Captum and Zennit to 1e-5 of the largest "
    "value") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "nets/lenet";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const std::vector<std::pair<std::string, std::string>> cases{
      {"captum.integrated_gradients_50", "integrated_gradients:steps=50,rule=gauss_legendre"},
      {"captum.integrated_gradients_50_b0.1",
       "integrated_gradients:steps=50,rule=gauss_legendre,baseline=0.1"},
      {"zennit.integrated_gradients_20", "integrated_gradients:steps=20,rule=right"},
      {"captum.occlusion", "occlusion:window=3,stride=2"},
      {"captum.saliency", "gradient:absolute=1"},
      {"zennit.beta_smooth_10", "beta_smooth:beta=10"},
      {"zennit.excitation_backprop", "zennit_excitation"}};
  // Zennit counts the positive part of the bias among the excitatory contributions, which the paper does not.
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text("rulegrad 1\nanalyzer zennit_excitation { use lrp.z_plus(1e-6)  default gradient }",
                   "test.rules");
  for (const auto& [file, method] : cases) {
    INFO(method, " against ", file);
    const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
    CHECK(distance(explain(method, question_of(model, 1), {{model.inputs()[0].name, x}}, {}, {}, library),
                   io::read_npy(folder / (file + ".npy"))) < 1e-5);
  }
}

TEST_CASE("iNNvestigate's integrated gradients agree to 1e-5, its SmoothGrad within Monte-Carlo error") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "innvestigate";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  // Its noise is absolute: standard normal, 64 copies.
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(R"(rulegrad 1
analyzer noisy_mean(n = 1) { extends gradient  for i in samples(n)  at input = input + normal(1, i)  result mean over i (relevance) }
analyzer noisy_var(n = 1)  { extends gradient  for i in samples(n)  at input = input + normal(1, i)  result var over i (relevance) }
)",
                   "noisy.rules");
  for (const std::string layer : {"Conv2D_relu", "Dense_relu", "MaxPooling2D"}) {
    INFO(layer);
    const auto run = [&](const std::string& folder_name, const std::string& method) {
      const Model model =
          load_onnx((folder / folder_name / layer / "model.onnx").string(), {.dtype = DType::float64});
      return explain(method, question_of(model, -1), {{model.inputs()[0].name, x}}, {}, {}, library);
    };
    const Tensor path = run("IntegratedGradients", "integrated_gradients:steps=64,rule=left");
    const Tensor path_reference = io::read_npy(folder / "IntegratedGradients" / layer / "attribution.npy");
    double worst = 0;
    for (std::int64_t i = 0; i < path.size(); ++i)
      worst = std::max(worst, std::abs(path.at(i) - path_reference.at(i)));
    CHECK(worst < 1e-5);

    constexpr double copies = 64, ours = 500;
    const Tensor mean = run("SmoothGrad", "noisy_mean:n=500"),
                 variance = run("SmoothGrad", "noisy_var:n=500");
    const Tensor reference = io::read_npy(folder / "SmoothGrad" / layer / "attribution.npy");
    double chi = 0, largest = 0;
    std::int64_t counted = 0;
    for (std::int64_t i = 0; i < mean.size(); ++i) {
      const double deviation = std::sqrt(variance.at(i) * (1 / copies + 1 / ours)) + 1e-6;
      const double z = (mean.at(i) - reference.at(i)) / deviation;
      largest = std::max(largest, std::abs(z));
      if (variance.at(i) > 1e-9) {
        chi += z * z;
        ++counted;
      }
    }
    // Elements that almost never flip have heavier tails than a normal variable.
    CHECK(largest < 12);
    if (counted > 0) CHECK(chi / static_cast<double>(counted) < 1.6);
  }
}

TEST_CASE(
    "Grad-CAM and concept-conditional relevance agree with ExplainableAI.jl and RelevancePropagation.jl") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "references/julia_cnn";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
  Question question = question_of(model, 81);
  const std::string input = model.inputs()[0].name;
  // Its feature layer is the pooling behind the last convolution.
  Expr pool, activation;
  for (const Expr e : topological_order(std::span(&question.output, 1))) {
    if (e.is("max_pool")) pool = e;
    if (e.is("relu") && e.shape().rank() == 4) activation = e;
  }
  const auto name_of_node = [&](Expr e) { return e.graph().names(e).at(0); };
  question.explained = {pool};
  const Tensor cam = explain("grad_cam:layer=" + name_of_node(pool), question, {{input, x}});
  const Tensor expected = io::read_npy(folder / "GradCAM_max.npy");
  double worst = 0, largest = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(cam.at(i) - expected.at(i)));
    largest = std::max(largest, expected.at(i));
  }
  CHECK(worst < 1e-5 * largest);

  // Relevance of one channel of the last activation at a time: a loop over masks.
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(fmt::format(R"(rulegrad 1
analyzer channels_of_layer(masks: tensor) {{
  for k in rows(masks)
  use {{ grad(y: _, r) when name(y, "{}") => next(r * along(k, 1, y)) }}
  use lrp.z_plus(1e-9) on conv
  use lrp.epsilon(1e-6)
  use lrp.rest
  result stack over k (relevance)
}}
)",
                               name_of_node(activation)),
                   "concepts.rules");
  const std::int64_t channels = activation.shape()[1].factor;
  Tensor masks(DType::float64, {2, channels});
  masks.mutable_values<double>()[15] = 1;
  masks.mutable_values<double>()[static_cast<std::size_t>(channels) + 1] = 1;
  question.explained = {model.inputs()[0].expr};
  const Analysis analysis =
      analyze(library, AnalyzerCall{.name = "channels_of_layer", .arguments = {{"masks", masks}}}, question);
  const Tensor maps = evaluate(analysis.attributions, {{input, x}}).at(0);
  const Tensor concepts = io::read_npy(folder / "CRP_max.npy");
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < concepts.size(); ++i) {
    difference += std::pow(maps.at(i) - concepts.at(i), 2);
    norm += std::pow(concepts.at(i), 2);
  }
  // Its max pooling goes to the first element that is approximately the largest: up to 1.6 % elsewhere.
  CHECK(std::sqrt(difference / norm) < 0.05);
}

TEST_CASE("DeepLIFT on LeNet explains the same difference of scores as Captum's") {
  const auto data = data_or_skip();
  if (!data) return;
  const fs::path folder = *data / "nets/lenet";
  const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64);
  // Its max pooling shares differently (with a baseline other than 0 it does not even add up): only the sums
  // can agree.
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = DType::float64});
  const Tensor map = explain("deeplift.rescale", question_of(model, 1), {{model.inputs()[0].name, x}});
  const Tensor reference = io::read_npy(folder / "captum.deeplift.npy").cast(DType::float64);
  for (std::int64_t row = 0; row < x.dims()[0]; ++row)
    CHECK(sum_of(row_of(map, row)) == doctest::Approx(sum_of(row_of(reference, row))).epsilon(1e-5));
}
