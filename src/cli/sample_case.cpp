#include "cli/sample_case.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "cli/loading.hpp"

namespace rulegrad::cli {
namespace {

Model loaded(const ModelOptions& model, const InputOptions& input, std::vector<GivenInput>& given) {
  given = read_inputs(input);
  return load_model(model, given, input.preprocessing(""));
}

}  // namespace

void add_sample_options(CLI::App& command, InputOptions& input, std::int64_t& sample) {
  add_input_options(command, input);
  command.get_option("--input")->required(false);
  command.add_option("--sample", sample, "Which sample of the input is shown (default: 0, the first)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
}

SampleCase::SampleCase(const ModelOptions& model, const QuestionOptions& question, const InputOptions& input,
                       std::int64_t sample)
    : options_(model), model_(loaded(model, input, given_)) {
  const std::size_t output = output_index(model, model_);
  note_output(model, model_);
  ask(question, output);
  if (input.files.empty()) return;

  samples_ = fit_samples(input, model, model_, given_);
  const std::int64_t count = samples_->count();
  if (sample >= count)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--sample {} is out of range: the input holds {} samples, 0 to {}", sample, count,
                            count - 1));
  const std::int64_t fixed = fixed_batch(model_);
  count_ = std::max<std::int64_t>(fixed, 1);
  first_ = std::min(sample, std::max<std::int64_t>(count - count_, 0));
  inputs_ = samples_->part(model_, first_, count_);
  const Chosen chosen = resolve_targets(question.target, count, ScoreNames(model_, output, ""));
  if (chosen.each > 1)
    throw Error(ErrorCode::invalid_argument, "--target all: name one score, or leave it to argmax");
  if (!chosen.largest)
    inputs_[asked_.target_input] =
        Tensor({count_}, std::span(chosen.targets)
                             .subspan(static_cast<std::size_t>(first_), static_cast<std::size_t>(count_)));
  if (const Expr seed = asked_.question.seed_tensor)
    inputs_[asked_.seed_input] =
        read_seed(question.seed, count, seed.shape()[1].factor, seed.dtype()).rows(first_, count_);
}

void SampleCase::ask(const QuestionOptions& question, std::size_t output) {
  ExplainerOptions how = explainer_options(question, options_);
  how.output = output;
  asked_ = question_for(model_, how);
}

std::string SampleCase::sample_name() const {
  return count_ == 1 ? samples_->names[static_cast<std::size_t>(first_)]
                     : fmt::format("the batch of {} from {} on", count_,
                                   samples_->names[static_cast<std::size_t>(first_)]);
}

std::vector<Tensor> SampleCase::evaluate(const std::vector<Expr>& expressions,
                                         const RunChoices& choices) const {
  return Program::compile(expressions, compile_options(options_, choices))
      .run(inputs_, {.threads = choices.threads});
}

}  // namespace rulegrad::cli
