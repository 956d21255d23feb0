#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/registry.hpp"

namespace CLI {
class App;
}  // namespace CLI

/// What the commands that run analyzers are asked alike: which score, from which seed, by which rules.
namespace rulegrad::cli {

struct QuestionOptions {
  std::vector<std::string> rule_files;
  std::string target = "argmax";
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

/// Names of graph inputs that carry what the person chose beside the samples.
inline constexpr const char* target_input = "rulegrad.target";
inline constexpr const char* seed_input = "rulegrad.seed";

/// What is explained for each sample, resolved from --target.
struct Targets {
  bool largest = true;
  std::vector<std::vector<std::int64_t>> passes;  ///< one index a sample, for each pass over the samples
};

[[nodiscard]] Targets resolve_targets(const std::string& text, std::int64_t samples, std::int64_t scores);
/// The targets of some samples as the input `target_input`.
[[nodiscard]] Tensor target_rows(const std::vector<std::int64_t>& targets, std::int64_t first, std::int64_t count);

[[nodiscard]] HeadKind head_from_name(const std::string& name);

/// The rules of a registry and those of the files beside them.
[[nodiscard]] RuleLibrary library_with(const Registry& registry, const std::vector<std::string>& files);

/// The question about the model's first input; makes the graph inputs `target_input` and `seed_input` where needed.
[[nodiscard]] Question make_question(const Model& model, Expr output, bool has_target, const QuestionOptions& options);

/// The seed array of --seed FILE.npy for the graph input `input`, one row of scores a sample.
[[nodiscard]] Tensor read_seed(const std::string& file, std::int64_t samples, Expr input);

}  // namespace rulegrad::cli
