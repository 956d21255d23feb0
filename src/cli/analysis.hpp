#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/stream.hpp"

#include "cli/inputs.hpp"
#include "cli/names.hpp"
#include "cli/options.hpp"
#include "cli/question.hpp"
#include "cli/report.hpp"

/// What `analyze` and `report` are asked alike: methods for a model and samples.
namespace rulegrad::cli {

struct AnalysisOptions {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::vector<std::string> methods;
  QuestionOptions question;
  std::string labels;
  std::vector<std::string> nodes, keep;
  double memory = 1024;  ///< megabytes
  bool verify = false, verify_numbers = false;

  [[nodiscard]] std::size_t memory_bytes() const { return static_cast<std::size_t>(memory * (1 << 20)); }
};

/// All of them.
void add_analysis_options(CLI::App& command, AnalysisOptions& options);

/// Methods, a model, and which score is explained. Unknown methods are told before a model is loaded.
class AnalysisCase {
 public:
  explicit AnalysisCase(const AnalysisOptions& options);
  AnalysisCase(const AnalysisCase&) = delete;
  AnalysisCase& operator=(const AnalysisCase&) = delete;

  /// Loads the model alone; free axes get the extents of --dim, or of `given`.
  void load(std::span<const GivenInput> given = {});
  /// Loads the model and what --input names.
  [[nodiscard]] Samples load_samples();

  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] const std::vector<AnalyzerCall>& calls() const { return calls_; }
  [[nodiscard]] const Registry& registry() const { return registry_; }
  [[nodiscard]] std::size_t output() const { return output_; }
  [[nodiscard]] const ScoreNames& scores() const { return *scores_; }
  [[nodiscard]] Question::Seed seed() const { return seed_; }

  /// What an explainer is made with; it must not outlive this.
  [[nodiscard]] ExplainerOptions explainer_options(const Chosen& chosen);
  /// The array of --seed FILE.npy for so many samples; empty where none was given.
  [[nodiscard]] Tensor seed_array(std::int64_t samples) const;
  /// Inputs that are looked up are not explained beside others unless they are named: says so.
  void note_other_inputs(const std::vector<std::string>& explained) const;
  /// What the explained number is, in a word: a logit or a probability where a softmax or sigmoid ends the
  /// model, else a score.
  [[nodiscard]] std::string score_kind() const;
  /// What a seed of the person's own asks for, in few words where it has few parts: `cat - dog`.
  [[nodiscard]] std::string seed_name(const Tensor& seed) const;
  [[nodiscard]] std::map<std::string, TokenInput> tokens_of(const std::vector<std::string>& nodes,
                                                            const Samples& samples) const;
  /// What manifests say of the question.
  [[nodiscard]] StreamQuestion stream_question(const Explainer& explainer,
                                               const io::Preprocessing& preprocessing) const;

 private:
  void loaded(Model model);

  const AnalysisOptions& options_;
  Registry registry_;
  std::vector<AnalyzerCall> calls_;
  std::optional<Model> model_;
  std::size_t output_ = 0;
  std::optional<ScoreNames> scores_;
  Question::Seed seed_ = Question::Seed::own;
};

}  // namespace rulegrad::cli
