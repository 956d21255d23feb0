#include "cli/question.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "rulegrad/error.hpp"
#include "rulegrad/io/npy.hpp"
#include "rulegrad/text.hpp"

namespace rulegrad::cli {
namespace {

std::int64_t checked_target(std::int64_t index, std::int64_t scores) {
  if (index < 0 || index >= scores)
    throw Error(ErrorCode::invalid_argument, fmt::format("target {} is out of range: the output has {} scores, 0 to {}", index, scores, scores - 1));
  return index;
}

}  // namespace

void add_question_options(CLI::App& command, QuestionOptions& options) {
  command.add_option("--target", options.target, "Which score is explained: argmax (each sample's largest, the default), an index,\nall, or a .npy file with one index a sample")
      ->type_name("N|argmax|all|FILE");
  add_method_options(command, options);
}

void add_method_options(CLI::App& command, QuestionOptions& options) {
  command.add_option("--seed", options.seed, "What is sent back from the score: one, value (the score itself) or a .npy file;\nthe method's own unless given")
      ->type_name("one|value|FILE");
  command.add_option("--head", options.head, "Explain the logit below a final softmax or sigmoid (default), or the probability")->type_name("logit|probability");
  command.add_option("--aux", options.aux, "Arrays that belong to nodes, for rules that ask for them: NODE/NAME, as in conv1/pattern")->type_name("FILE.npz");
  command.add_option("--rules", options.rule_files, "Rule files with methods of your own")->type_name("FILE.rules");
  command.add_flag("--allow-unmatched", options.allow_unmatched, "Go on with a method none of whose rules matches anything in the model");
}

AnalyzerCall parse_method(const std::string& text, const QuestionOptions& options) {
  AnalyzerCall call = AnalyzerCall::parse(text);
  if (options.allow_unmatched) call.arguments.emplace_back("allow_unmatched", 1.0);
  return call;
}

Targets resolve_targets(const std::string& text, std::int64_t samples, std::int64_t scores) {
  Targets targets;
  if (text == "argmax") return targets;
  targets.largest = false;
  if (text == "all") {
    for (std::int64_t k = 0; k < scores; ++k) targets.passes.emplace_back(static_cast<std::size_t>(samples), k);
    return targets;
  }
  if (std::filesystem::path(text).extension() == ".npy") {
    const Tensor file = io::read_npy(text);
    if (is_floating(file.dtype()) || file.size() != samples)
      throw Error(ErrorCode::shape, fmt::format("{} holds {}{} but --target needs one integer for each of the {} samples", text,
                                                name_of(file.dtype()), to_string(std::span(file.dims())), samples));
    auto& pass = targets.passes.emplace_back();
    for (std::int64_t i = 0; i < samples; ++i) pass.push_back(checked_target(static_cast<std::int64_t>(file.at(i)), scores));
    return targets;
  }
  std::size_t used = 0;
  std::int64_t index = -1;
  try {
    index = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used != text.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("--target '{}' is no class index, argmax, all or .npy file", text));
  targets.passes.emplace_back(static_cast<std::size_t>(samples), checked_target(index, scores));
  return targets;
}

HeadKind head_from_name(const std::string& name) {
  const std::vector<std::string> known{"logit", "probability"};
  if (name == known[0]) return HeadKind::logit;
  if (name == known[1]) return HeadKind::probability;
  throw Error(ErrorCode::unknown_name, unknown_name_message("--head", name, known));
}

Tensor target_rows(const std::vector<std::int64_t>& targets, std::int64_t first, std::int64_t count) {
  return Tensor({count}, std::span(targets).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
}

RuleLibrary library_with(const Registry& registry, const std::vector<std::string>& files) {
  RuleLibrary library = registry.rules;
  library.add_operators(registry.operators);
  library.add_samplers(registry.samplers);
  for (const std::string& file : files) library.add_file(file);
  return library;
}

Question make_question(const Model& model, Expr output, bool has_target, const QuestionOptions& options) {
  const std::string& seed = options.seed;
  Graph& graph = output.graph();
  const Dim batch = model.inputs()[0].expr.shape()[0];
  const Dim scores = Dim(output.shape().count().factor / (batch.batch ? 1 : batch.factor));
  Question question;
  question.output = output;
  question.explained = {model.inputs()[0].expr};
  question.read_array = [](const std::string& path) { return io::read_npy(path); };
  if (has_target) question.target = graph.input(target_input, {DType::int64, Shape{batch}});
  if (seed == "one") {
    question.seed = Question::Seed::one;
  } else if (seed == "value") {
    question.seed = Question::Seed::value;
  } else if (std::filesystem::path(seed).extension() == ".npy") {
    question.seed = Question::Seed::tensor;
    question.seed_tensor = graph.input(seed_input, {output.dtype(), Shape{batch, scores}});
  } else if (!seed.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("--seed '{}' is not one, value or a .npy file", seed));
  }
  if (!options.aux.empty()) {
    auto arrays = std::make_shared<AuxiliaryArrays>(options.aux);
    for (auto& [key, array] : io::read_npz(options.aux)) arrays->add(key, std::move(array));
    question.aux = std::move(arrays);
  }
  return question;
}

Tensor read_seed(const std::string& file, std::int64_t samples, Expr input) {
  const DType dtype = input.dtype();
  const std::int64_t scores = input.shape()[1].factor;
  const Tensor seed = io::read_npy(file).cast(dtype);
  if (seed.size() == samples * scores) return seed.reshaped({samples, scores});
  if (seed.size() != scores)
    throw Error(ErrorCode::shape, fmt::format("{} has shape {} but --seed needs [{}] or [{}, {}]: a number for each score", file,
                                              to_string(std::span(seed.dims())), scores, samples, scores));
  Tensor repeated = Tensor::uninitialized(dtype, {samples, scores});
  for (std::int64_t i = 0; i < samples; ++i)
    std::copy_n(seed.data(), seed.bytes(), repeated.mutable_data() + static_cast<std::size_t>(i) * seed.bytes());
  return repeated;
}

}  // namespace rulegrad::cli
