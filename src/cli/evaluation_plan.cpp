#include "cli/evaluation_plan.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {

EvaluationPlan plan_of(const EvaluateOptions& options, const RuleLibrary& library) {
  EvaluationPlan plan;
  plan.fill = Fill::parse(options.fill);
  if (!options.start.empty()) plan.start = Fill::parse(options.start);
  plan.fill.key = plan.start.key = options.key;
  if (!options.score.empty()) plan.score = score_kind_from_name(options.score);
  for (const std::string& kind : options.randomisation)
    plan.randomisation.push_back(randomisation_from_name(kind));
  if (!options.plot.empty() && std::filesystem::path(options.plot).extension() != ".png")
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--plot '{}': charts are PNG pictures; the name must end in .png", options.plot));
  if (options.radius && options.sensitivity == 0)
    throw Error(ErrorCode::invalid_argument, "--radius belongs to --sensitivity DRAWS, which is not there");
  for (const std::string& text : options.methods) {
    if (text == "random") continue;  // it is there anyway
    plan.calls.push_back(AnalyzerCall::parse(text));
    (void)library.analyzer(plan.calls.back().name);  // an unknown method is told before a model is loaded
    plan.names.push_back(text);
  }
  for (std::int64_t k = 0; k < options.orders; ++k)
    plan.calls.push_back({"random", {{"key", static_cast<double>(options.key + k)}}});
  return plan;
}

std::vector<std::int64_t> read_targets(const std::string& path, std::int64_t samples, std::int64_t scores) {
  const Tensor file = io::read_npy(path);
  if (is_floating(file.dtype()) || file.size() != samples)
    throw Error(ErrorCode::shape,
                fmt::format("{} holds {}{} but --labels needs one integer for each of the {} samples", path,
                            name_of(file.dtype()), to_string(file.dims()), samples));
  std::vector<std::int64_t> targets;
  for (std::int64_t i = 0; i < samples; ++i) {
    targets.push_back(static_cast<std::int64_t>(file.at(i)));
    if (targets.back() < 0 || targets.back() >= scores)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the label {} of sample {} is no class: the model has {} score{}, {}", path,
                              targets.back(), i, scores, scores == 1 ? "" : "s",
                              scores == 1 ? "whose index is 0" : fmt::format("0 to {}", scores - 1)));
  }
  return targets;
}

std::string note_on_baseline(const EvaluationPlan& plan) {
  if (plan.fill.kind != Fill::Kind::value) return "";
  std::vector<std::string> favoured;
  for (std::size_t m = 0; m < plan.names.size(); ++m) {
    const AnalyzerCall& call = plan.calls[m];
    if (call.name.find("integrated_gradients") == std::string::npos &&
        call.name.find("deeplift") == std::string::npos)
      continue;
    const auto given =
        std::ranges::find(call.arguments, "baseline", [](const auto& argument) { return argument.first; });
    const auto* number = given == call.arguments.end() ? nullptr : std::get_if<double>(&given->second);
    if (given == call.arguments.end() ? plan.fill.value == 0
                                      : number != nullptr && *number == plan.fill.value)
      favoured.push_back(plan.names[m]);
  }
  return favoured.empty()
             ? ""
             : fmt::format("the fill {} is the baseline of {}, which favours {}\n", to_string(plan.fill),
                           join(favoured), favoured.size() == 1 ? "it" : "them");
}

}  // namespace rulegrad::cli
