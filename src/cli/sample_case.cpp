#include "cli/sample_case.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "rulegrad/error.hpp"

namespace rulegrad::cli {

void add_sample_options(CLI::App& command, InputOptions& input, std::int64_t& sample) {
  add_input_options(command, input);
  command.get_option("--input")->required(false);
  command.add_option("--sample", sample, "Which sample of the input is shown (default: 0, the first)")->type_name("N")->check(CLI::NonNegativeNumber);
}

SampleCase::SampleCase(const ModelOptions& model, const QuestionOptions& question, const InputOptions& input, std::int64_t sample)
    : options_(model), model_(load_model(model)) {
  const Expr output = model_.head(head_from_name(question.head));
  question_ = make_question(model_, output, question.target != "argmax", question);
  if (input.files.empty()) return;

  samples_ = load_samples(input, model_);
  const std::int64_t given = samples_->count();
  if (sample >= given)
    throw Error(ErrorCode::invalid_argument, fmt::format("--sample {} is out of range: the input holds {} samples, 0 to {}", sample, given, given - 1));
  const Dim batch = model_.inputs()[0].expr.shape()[0];
  count_ = batch.batch ? 1 : batch.factor;
  first_ = std::min(sample, std::max<std::int64_t>(given - count_, 0));
  inputs_[model_.inputs()[0].name] = rows(samples_->values, first_, std::min(count_, given));
  const Targets targets = resolve_targets(question.target, given, output.shape().count().factor / (batch.batch ? 1 : batch.factor));
  if (targets.passes.size() > 1) throw Error(ErrorCode::invalid_argument, "--target all: name one score, or leave it to argmax");
  if (!targets.largest) inputs_[target_input] = target_rows(targets.passes[0], first_, count_);
  if (question_.seed == Question::Seed::tensor) inputs_[seed_input] = rows(read_seed(question.seed, given, question_.seed_tensor), first_, count_);
}

std::string SampleCase::sample_name() const {
  return count_ == 1 ? samples_->names[static_cast<std::size_t>(first_)] : fmt::format("the batch of {} from {} on", count_, samples_->names[static_cast<std::size_t>(first_)]);
}

std::vector<Tensor> SampleCase::evaluate(const std::vector<Expr>& expressions, const RunChoices& choices) const {
  return Program::compile(expressions, compile_options(options_, choices)).run(inputs_, {.threads = choices.threads});
}

}  // namespace rulegrad::cli
