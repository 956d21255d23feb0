#include "cli/question.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {

void add_question_options(CLI::App& command, QuestionOptions& options) {
  command
      .add_option("--target", options.target,
                  "Which score is explained: argmax (each sample's largest, the default), an index (5,1 for "
                  "outputs of\nseveral axes), a label, all, or a .npy file with one index a sample; several "
                  "indices or labels explain\nthem all")
      ->type_name("N|LABEL|argmax|all|FILE")
      ->multi_option_policy(CLI::MultiOptionPolicy::Join);  // by line ends
  add_method_options(command, options);
}

void add_method_options(CLI::App& command, QuestionOptions& options) {
  command
      .add_option("--seed", options.seed,
                  "What is sent back from the score: one, value (the score itself) or a .npy file;\nthe "
                  "method's own unless given")
      ->type_name("one|value|FILE");
  command
      .add_option("--head", options.head,
                  "Explain the logit below a final softmax or sigmoid (default), or the probability")
      ->type_name("logit|probability");
  command
      .add_option("--aux", options.aux,
                  "Arrays that belong to nodes, for rules that ask for them: NODE/NAME, as in conv1/pattern")
      ->type_name("FILE.npz");
  command.add_option("--rules", options.rule_files, "Rule files with methods of your own")
      ->type_name("FILE.rules");
  command.add_flag("--allow-unmatched", options.allow_unmatched,
                   "Go on with a method none of whose rules matches anything in the model");
}

AnalyzerCall parse_method(const std::string& text, const QuestionOptions& options) {
  AnalyzerCall call = AnalyzerCall::parse(text);
  if (options.allow_unmatched) call.arguments.emplace_back("allow_unmatched", 1.0);
  return call;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

Chosen resolve_targets(const std::string& text, std::int64_t samples, const ScoreNames& scores) {
  Chosen chosen;
  if (text == "argmax") return chosen;
  chosen.largest = false;
  if (text == "all") {
    chosen.each = scores.count();
    for (std::int64_t i = 0; i < samples; ++i)
      for (std::int64_t k = 0; k < chosen.each; ++k) chosen.targets.push_back(k);
    return chosen;
  }
  if (text.find('\n') == std::string::npos && std::filesystem::path(text).extension() == ".npy") {
    const Tensor file = io::read_npy(text);
    if (is_floating(file.dtype()) || file.size() != samples)
      throw Error(ErrorCode::shape,
                  fmt::format("{} holds {}{} but --target needs one integer for each of the {} samples", text,
                              name_of(file.dtype()), to_string(std::span(file.dims())), samples));
    for (std::int64_t i = 0; i < samples; ++i)
      chosen.targets.push_back(scores.find(fmt::format("{}", static_cast<std::int64_t>(file.at(i)))));
    return chosen;
  }
  const std::vector<std::string> named = lines_of(text);
  std::vector<std::int64_t> found;
  for (const std::string& one : named) {
    if (named.size() > 1 && (one == "argmax" || one == "all" || one.ends_with(".npy")))
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "--target {} stands alone; where it is given several times, each is an index or a label", one));
    found.push_back(scores.find(one));
  }
  chosen.each = static_cast<std::int64_t>(found.size());
  for (std::int64_t i = 0; i < samples; ++i)
    chosen.targets.insert(chosen.targets.end(), found.begin(), found.end());
  return chosen;
}

HeadKind head_from_name(const std::string& name) {
  const std::vector<std::string> known{"logit", "probability"};
  if (name == known[0]) return HeadKind::logit;
  if (name == known[1]) return HeadKind::probability;
  throw Error(ErrorCode::unknown_name, unknown_name_message("--head", name, known));
}

RuleLibrary library_with(const Registry& registry, const std::vector<std::string>& files) {
  RuleLibrary library = registry.rules;
  library.add_operators(registry.operators);
  library.add_samplers(registry.samplers);
  for (const std::string& file : files) library.add_file(file);
  return library;
}

Question::Seed seed_from_name(const std::string& text) {
  if (text.empty()) return Question::Seed::own;
  if (text == "one") return Question::Seed::one;
  if (text == "value") return Question::Seed::value;
  if (std::filesystem::path(text).extension() == ".npy") return Question::Seed::tensor;
  throw Error(ErrorCode::invalid_argument, fmt::format("--seed '{}' is not one, value or a .npy file", text));
}

std::shared_ptr<const AuxiliaryArrays> auxiliary_arrays(const QuestionOptions& options) {
  if (options.aux.empty()) return {};
  auto arrays = std::make_shared<AuxiliaryArrays>(options.aux);
  for (auto& [key, array] : io::read_npz(options.aux)) arrays->add(key, std::move(array));
  return arrays;
}

ExplainerOptions explainer_options(const QuestionOptions& question, const ModelOptions& model) {
  ExplainerOptions how;
  how.targets = question.target == "argmax" ? Targets::largest : Targets::given;
  how.seed = seed_from_name(question.seed);
  how.head = head_from_name(question.head);
  how.aux = auxiliary_arrays(question);
  how.check_finite = !model.allow_non_finite;
  how.keep_explained = false;
  return how;
}

ExplainerOptions explainer_options(const QuestionOptions& question, const ModelOptions& model,
                                   const RunChoices& run) {
  ExplainerOptions how = explainer_options(question, model);
  how.precision = run.precision();
  how.rounding = !run.exact;
  return how;
}

Tensor read_seed(const std::string& file, std::int64_t samples, std::int64_t scores, DType dtype) {
  const Tensor seed = io::read_npy(file).cast(dtype);
  if (seed.size() == samples * scores) return seed.reshaped({samples, scores});
  if (seed.size() != scores)
    throw Error(ErrorCode::shape,
                fmt::format("{} has shape {} but --seed needs [{}] or [{}, {}]: a number for each score",
                            file, to_string(std::span(seed.dims())), scores, samples, scores));
  Tensor repeated = Tensor::uninitialized(dtype, {samples, scores});
  for (std::int64_t i = 0; i < samples; ++i)
    std::copy_n(seed.data(), seed.bytes(),
                repeated.mutable_data() + static_cast<std::size_t>(i) * seed.bytes());
  return repeated;
}

}  // namespace rulegrad::cli
