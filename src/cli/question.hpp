#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/registry.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"

#include "cli/names.hpp"
#include "cli/options.hpp"

namespace CLI {
class App;
}  // namespace CLI

/// What the commands that run analyzers are asked alike: which score, from which seed, by which rules.
namespace rulegrad::cli {

struct QuestionOptions {
  std::vector<std::string> rule_files;
  std::string target = "argmax";  ///< several by line ends
  std::string seed;
  std::string head = "logit";
  std::string aux;
  bool allow_unmatched = false;
};

void add_question_options(CLI::App& command, QuestionOptions& options);
/// The same without --target, for commands that know it from elsewhere.
void add_method_options(CLI::App& command, QuestionOptions& options);

/// A method as it was asked for, with what the options say of all methods.
[[nodiscard]] AnalyzerCall parse_method(const std::string& text, const QuestionOptions& options);

/// The parts of an option that was given several times.
[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);

/// What is explained for each sample, resolved from --target.
struct Chosen {
  bool largest = true;
  std::int64_t each = 1;              ///< so many scores of each sample
  std::vector<std::int64_t> targets;  ///< each sample's in turn
};
[[nodiscard]] Chosen resolve_targets(const std::string& text, std::int64_t samples, const ScoreNames& scores);

[[nodiscard]] HeadKind head_from_name(const std::string& name);
/// What --seed says; Question::Seed::tensor for a file.
[[nodiscard]] Question::Seed seed_from_name(const std::string& text);
/// The arrays of --aux; null without it.
[[nodiscard]] std::shared_ptr<const AuxiliaryArrays> auxiliary_arrays(const QuestionOptions& options);

/// What an explainer is made for as far as options say it that all commands share. Which score and which values
/// are explained is each command's own. Canonizers fold what --keep does not name, --at or not.
[[nodiscard]] ExplainerOptions explainer_options(const QuestionOptions& question, const ModelOptions& model);
[[nodiscard]] ExplainerOptions explainer_options(const QuestionOptions& question, const ModelOptions& model,
                                                 const RunChoices& run);

/// The rules of a registry and those of the files beside them.
[[nodiscard]] RuleLibrary library_with(const Registry& registry, const std::vector<std::string>& files);

/// The seed array of --seed FILE.npy, one row of scores a sample.
[[nodiscard]] Tensor read_seed(const std::string& file, std::int64_t samples, std::int64_t scores,
                               DType dtype);

}  // namespace rulegrad::cli
