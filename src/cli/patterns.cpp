#include "rulegrad/evaluation/patterns.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

struct PatternsChoices {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::string type = "relu", output;
};

void compute_patterns(const PatternsChoices& options) {
  const PatternType type = pattern_type_from_name(options.type);
  if (std::filesystem::path(options.output).extension() != ".npz")
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--output '{}': patterns are several arrays; the name of the file must end in .npz",
                    options.output));
  const auto [model, samples] = load(options.model, options.input);
  PatternComputation computation(model.head(HeadKind::logit, output_index(options.model, model)), type,
                                 compile_options(options.model, options.run),
                                 options.model.registry().operators);
  const std::int64_t batch = batch_size_for(options.run, model, samples.count());
  Progress progress("patterns", samples.count());
  for (std::int64_t first = 0; first < samples.count(); first += batch) {
    const std::int64_t count = std::min(batch, samples.count() - first);
    computation.add(samples.part(model, first, count),
                    {.threads = options.run.threads, .batch_offset = first});
    progress.advance(count);
  }
  const auto patterns = computation.patterns();
  io::write_npz(options.output, patterns);
  for (const auto& [key, pattern] : patterns)
    say(fmt::format("{}  {}{}\n", key, name_of(pattern.dtype()), to_string(pattern.dims())));
  say(fmt::format("wrote {}\n", options.output));
}

}  // namespace

void add_patterns(CLI::App& app, Run& run) {
  auto options = std::make_shared<PatternsChoices>();
  CLI::App* command = app.add_subcommand(
      "patterns",
      "Estimate from data what each neuron's signal looks like, for pattern.net and pattern.attribution");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  command
      ->add_option("--type", options->type,
                   "Expectations over the samples that a neuron's activation lets through (relu, the "
                   "default),\nor over all (linear)")
      ->type_name("relu|linear");
  command
      ->add_option("--output,-o", options->output,
                   "Where the arrays NODE/pattern go, for `rulegrad analyze --aux FILE.npz`")
      ->required()
      ->type_name("FILE.npz");
  add_run_choices(*command, options->run);
  command->callback([options, &run] { run = [options] { compute_patterns(*options); }; });
}

}  // namespace rulegrad::cli
