#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/inputs.hpp"
#include "cli/question.hpp"

namespace rulegrad::cli {

/// The options of --input, which may be left out, and --sample.
void add_sample_options(CLI::App& command, InputOptions& input, std::int64_t& sample);

/// A model, a question about it and, where an input was given, one sample to answer it for: what `explain`
/// and `diff` share. A model whose batch is fixed is run with that many samples from this one on.
class SampleCase {
 public:
  SampleCase(const ModelOptions& model, const QuestionOptions& question, const InputOptions& input,
             std::int64_t sample);

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] const Question& question() const { return asked_.question; }
  [[nodiscard]] bool has_sample() const { return samples_.has_value(); }
  [[nodiscard]] std::string sample_name() const;
  [[nodiscard]] std::vector<Tensor> evaluate(const std::vector<Expr>& expressions,
                                             const RunChoices& choices) const;

 private:
  void ask(const QuestionOptions& question, std::size_t output);

  const ModelOptions& options_;
  std::vector<GivenInput> given_;
  Model model_;
  AskedQuestion asked_;
  std::optional<Samples> samples_;
  std::int64_t first_ = 0, count_ = 1;
  Inputs inputs_;
};

}  // namespace rulegrad::cli
