#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <numeric>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/expr/expr.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/support/error.hpp"

#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/names.hpp"
#include "cli/print_json.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

struct PredictChoices {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::string labels;
  std::int64_t top = 5;
  bool json = false;
};

struct Answer {
  std::int64_t index;
  double score;
};

/// The best of each sample, the best first.
std::vector<std::vector<Answer>> answers_of(const PredictChoices& options, const Model& model,
                                            const Samples& samples, std::size_t output) {
  const Expr y = model.outputs()[output].expr;
  const Program program = Program::compile(std::span(&y, 1), compile_options(options.model, options.run));
  const std::int64_t batch = batch_size_for(options.run, model, samples.count());
  if (const auto mixing = first_mixing(std::span(&y, 1));
      mixing && batch < samples.count() && fixed_batch(model) == 0)
    throw Error(ErrorCode::model, fmt::format("the {} samples cannot be cut into runs of {}, because {} "
                                              "mixes them; run them at once with --batch-size {}",
                                              samples.count(), batch, describe(*mixing), samples.count()));
  std::vector<std::vector<Answer>> result;
  Progress progress("predicting", samples.count());
  for (std::int64_t first = 0; first < samples.count(); first += batch) {
    const std::int64_t count = std::min(batch, samples.count() - first);
    const Tensor scores = program.run(samples.part(model, first, count),
                                      {.threads = options.run.threads, .batch_offset = first})[0];
    const std::int64_t width = scores.size() / count, top = std::min(options.top, width);
    for (std::int64_t row = 0; row < count; ++row) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(width));
      std::iota(order.begin(), order.end(), 0);
      const auto score = [&](std::int64_t index) { return scores.at(row * width + index); };
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int64_t a, std::int64_t b) { return score(a) > score(b); });
      auto& best = result.emplace_back();
      for (std::int64_t k = 0; k < top; ++k)
        best.push_back({order[static_cast<std::size_t>(k)], score(order[static_cast<std::size_t>(k)])});
    }
    progress.advance(count);
  }
  return result;
}

void predict(const PredictChoices& options) {
  const auto [model, samples] = load(options.model, options.input);
  const std::size_t output = output_index(options.model, model);
  const ScoreNames names(model, output, options.labels);
  note_output(options.model, model);
  const auto answers = answers_of(options, model, samples, output);
  const std::string kind = kind_of_output(model, output);
  if (options.json) {
    Json json;
    json.open('{')
        .key("model")
        .text(options.model.path)
        .key("output")
        .text(model.outputs()[output].name)
        .key("kind")
        .text(kind)
        .key("samples")
        .open('[');
    for (std::size_t i = 0; i < answers.size(); ++i) {
      json.open('{').key("name").text(samples.names[i]).key("scores").open('[');
      for (const Answer& answer : answers[i])
        json.open('{')
            .key("index")
            .number(answer.index)
            .key("name")
            .text(names.name(answer.index))
            .key("score")
            .number(answer.score)
            .close('}');
      json.close(']').close('}');
    }
    json.close(']').close('}');
    print_answer(json);
    return;
  }
  std::string text;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    text += fmt::format("{}  ({})\n", samples.names[i],
                        kind == "score"         ? "scores as the model gives them"
                        : kind == "probability" ? "probabilities"
                                                : "logarithms of probabilities");
    for (const Answer& answer : answers[i])
      text += fmt::format("  {:>10.6g}  {:>4}  {}\n", answer.score, answer.index, names.name(answer.index));
  }
  say(text);
}

}  // namespace

void add_predict(CLI::App& app, Run& run) {
  auto options = std::make_shared<PredictChoices>();
  CLI::App* command =
      app.add_subcommand("predict", "Show what the model answers for each sample: score, index, label");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  add_run_choices(*command, options->run);
  command->add_option("--labels", options->labels, "A text file with one class name a line")
      ->type_name("FILE");
  command->add_option("--top", options->top, "How many classes to show (default 5)")
      ->type_name("K")
      ->check(CLI::PositiveNumber);
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { predict(*options); }; });
}

}  // namespace rulegrad::cli
