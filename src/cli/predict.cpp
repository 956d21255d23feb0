#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "cli/commands.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::string labels;
  std::int64_t top = 5;
};

void predict(const Options& options) {
  const std::vector<std::string> labels = options.labels.empty() ? std::vector<std::string>{} : read_labels(options.labels);
  const Model model = load_model(options.model);
  const Samples samples = load_samples(options.input, model);
  const Expr output = model.outputs()[0].expr;
  const Program program = Program::compile(std::span(&output, 1), compile_options(options.model, options.run));
  const std::int64_t batch = batch_size_for(options.run, model, samples.count());

  std::string text;
  Progress progress("predicting", samples.count());
  for (std::int64_t first = 0; first < samples.count(); first += batch) {
    const std::int64_t count = std::min(batch, samples.count() - first);
    const Tensor scores = program.run({{model.inputs()[0].name, rows(samples.values, first, count)}}, {.threads = options.run.threads})[0];
    const std::int64_t width = scores.size() / count;
    for (std::int64_t row = 0; row < count; ++row) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(width));
      std::iota(order.begin(), order.end(), 0);
      const auto score = [&](std::int64_t index) { return scores.at(row * width + index); };
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return score(a) > score(b); });
      text += samples.names[static_cast<std::size_t>(first + row)] + "\n";
      for (std::int64_t k = 0; k < std::min(options.top, width); ++k) {
        const std::int64_t index = order[static_cast<std::size_t>(k)];
        text += fmt::format("  {:>10.6g}  {:>4}  {}\n", score(index), index, label_of(labels, index));
      }
    }
    progress.advance(count);
  }
  fmt::print("{}", text);
}

}  // namespace

void add_predict(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("predict", "Show what the model answers for each sample: score, index, label");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  add_run_choices(*command, options->run);
  command->add_option("--labels", options->labels, "A text file with one class name a line")->type_name("FILE");
  command->add_option("--top", options->top, "How many classes to show (default 5)")->type_name("K")->check(CLI::PositiveNumber);
  command->callback([options, &run] {
    run = [options] { predict(*options); };
  });
}

}  // namespace rulegrad::cli
