#include "rulegrad/evaluation/xai_tris.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/api/training.hpp"
#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/evaluation/scores.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "cli/commands.hpp"
#include "cli/evaluation_report.hpp"
#include "cli/options.hpp"

namespace rulegrad::cli {
namespace {

struct XaiTrisChoices {
  std::string scenario, output;
  std::vector<std::string> methods;
  XaiTrisOptions data{.samples = 400};
  int steps = 150;
  std::int64_t orders = 5;
};

/// A small network trained on 1000 samples of its own.
Model trained_on(XaiTrisScenario scenario, const XaiTrisChoices& options) {
  XaiTrisOptions more = options.data;
  more.samples = 1000;
  more.key = options.data.key + 1;
  const XaiTrisData data = xai_tris(scenario, more);
  Trainer trainer(Sequential({B, 1, 8, 8}).flatten().dense(32).relu().dense(2).softmax().finish(),
                  cross_entropy, {DType::int64, {B}});
  for (int step = 0; step < options.steps; ++step) trainer.step(data.samples, data.labels, 1e-2);
  return trainer.trained();
}

void evaluate_tetrominoes(const XaiTrisChoices& options) {
  const XaiTrisScenario scenario = xai_tris_scenario_from_name(options.scenario);
  std::vector<AnalyzerCall> calls;
  std::vector<std::vector<std::string>> rows{{"method", "precision"}};
  for (const std::string& method : options.methods) {
    if (method == "random") continue;
    calls.push_back(AnalyzerCall::parse(method));
    (void)RuleLibrary::builtin().analyzer(calls.back().name);
    rows.push_back({method});
  }
  for (std::int64_t k = 0; k < options.orders; ++k)
    calls.push_back({"random", {{"key", static_cast<double>(k)}}});

  const XaiTrisData data = xai_tris(scenario, options.data);
  const Model model = trained_on(scenario, options);
  std::vector<std::int64_t> labels(data.labels.values<std::int64_t>().begin(),
                                   data.labels.values<std::int64_t>().end());
  const Explanation found =
      Explainer(model, calls, {.targets = Targets::given}).run(data.samples, {.targets = labels});
  std::size_t right = 0;
  const auto answers = found.predictions();
  for (std::size_t i = 0; i < labels.size(); ++i) right += answers[i] == labels[i];

  double floor = 0;
  for (std::size_t m = 0; m < calls.size(); ++m) {
    const double precision = mean_of(mask_precision(found.attribution(m), data.mask));
    if (m + 1 < rows.size())
      rows[m + 1].push_back(fmt::format("{:.3f}", precision));
    else
      floor += precision / static_cast<double>(options.orders);
  }
  rows.push_back({"random", fmt::format("{:.3f}", floor)});
  if (!options.output.empty()) {
    const std::filesystem::path place(options.output);
    std::error_code failure;
    std::filesystem::create_directories(place, failure);
    if (failure)
      throw Error(ErrorCode::io,
                  fmt::format("cannot make the directory '{}': {}", options.output, failure.message()));
    const Expr output = model.outputs()[0].expr;
    save_onnx(place / "model.onnx", std::span(&output, 1));
    io::write_npy(place / "samples.npy", data.samples);
    io::write_npy(place / "labels.npy", data.labels);
    io::write_npy(place / "mask.npy", data.mask);
  }
  fmt::print("{}: {} samples, {:.1f} % of them named rightly; 8 of 64 pixels are truly relevant\n\n{}",
             options.scenario, labels.size(),
             100 * static_cast<double>(right) / static_cast<double>(labels.size()), aligned(rows));
  if (!options.output.empty())
    fmt::print("wrote model.onnx, samples.npy, labels.npy and mask.npy to {}\n", options.output);
}

}  // namespace

void add_xai_tris(CLI::App& app, Run& run) {
  auto options = std::make_shared<XaiTrisChoices>();
  CLI::App* command = app.add_subcommand("xai-tris",
                                         "Train on tetrominoes in noise, where what is relevant is known, "
                                         "and tell how precisely methods find it");
  command
      ->add_option("scenario", options->scenario,
                   "A tetromino of one of two kinds (linear), or two whose signs agree or not (xor)")
      ->required()
      ->type_name("linear|xor");
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  command->add_option("--samples", options->data.samples, "Samples to explain (default 400)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--alpha", options->data.alpha,
                   "The signal's weight against the noise (default 0.18 for linear, 0.35 for xor)")
      ->type_name("0..1");
  command->add_option("--key", options->data.key, "Of the random numbers (default 0)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--steps", options->steps, "Steps of training (default 150)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option(
          "--output,-o", options->output,
          "Write the network, the samples, their labels and the true mask, for `rulegrad evaluate --mask`")
      ->type_name("DIRECTORY");
  command->callback([options, &run] { run = [options] { evaluate_tetrominoes(*options); }; });
}

}  // namespace rulegrad::cli
