#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/stream.hpp"

#include "cli/analysis.hpp"
#include "cli/commands.hpp"
#include "cli/completeness.hpp"
#include "cli/loading.hpp"
#include "cli/report.hpp"
#include "cli/session.hpp"
#include "cli/streaming.hpp"

namespace rulegrad::cli {
namespace {

struct AnalyzeChoices : AnalysisOptions {
  StreamChoices stream;
  ReportOptions report;
  bool stats = false;
};

/// What a program does and needs for a run of so many samples, on standard error.
void print_stats(const Program& program, std::int64_t batch) {
  const ProgramStats stats = program.stats({.batch = batch, .samples = 1});
  const auto megabytes = [](std::size_t bytes) { return static_cast<double>(bytes) / 1e6; };
  fmt::print(stderr,
             "kernel calls: {}, of which {} convolutions and matrix products; {} results take over the "
             "memory of an operand\n",
             stats.instructions, stats.contractions, stats.in_place);
  if (stats.winograd != 0) fmt::print(stderr, "convolutions by Winograd's transforms: {}\n", stats.winograd);
  if (stats.split != 0) fmt::print(stderr, "products of matrices from bfloat16 parts: {}\n", stats.split);
  if (stats.bfloat16 != 0) fmt::print(stderr, "contractions of bfloat16 numbers: {}\n", stats.bfloat16);
  fmt::print(stderr, "computed once and kept: {} constants, {:.1f} MB\n", stats.folded_constants,
             megabytes(stats.folded_bytes));
  for (const std::string& fold : stats.large_folds) fmt::print(stderr, "  {}\n", fold);
  fmt::print(stderr, "constants in the forms that kernels read: {:.1f} MB\n", megabytes(stats.packed_bytes));
  fmt::print(stderr, "working memory for {} sample{}: {:.1f} MB ({:.1f} MB if nothing were used twice)\n",
             batch, batch == 1 ? "" : "s", megabytes(stats.arena_bytes), megabytes(stats.unplanned_bytes));
  for (const std::int64_t samples : stats.samples_at_once)
    fmt::print(stderr, "a loop takes {} of its samples at once\n", samples);
}

void analyze(const AnalyzeChoices& options) {
  AnalysisCase asked(options);
  const Samples samples = asked.load_samples();
  const Model& model = asked.model();
  const Chosen chosen = resolve_targets(options.question.target, samples.count(), asked.scores());
  note_output(options.model, model);
  const ExplainerOptions how = asked.explainer_options(chosen);
  const Explainer explainer(model, asked.calls(), how);
  check_output_choice(options.report, asked.calls().size() * explainer.nodes().size(), chosen.each);
  asked.note_other_inputs(explainer.nodes());

  ExplainChoices choices{.targets = chosen.targets,
                         .seed = asked.seed_array(samples.count()),
                         .batch_size = batch_size_for(options.run, model, samples.count()),
                         .threads = options.run.threads};
  if (chosen.each > 1) choices.stacked = chosen.each;
  Progress progress("analyzing", samples.count() * chosen.each);
  choices.progress = [&, before = std::int64_t{0}](std::int64_t done, std::int64_t) mutable {
    progress.advance(done - std::exchange(before, done));
  };
  const Explanation found = explainer.run(samples.inputs, choices);
  Report::Parts parts{asked.scores(), asked.seed_name(choices.seed),
                      asked.tokens_of(explainer.nodes(), samples), asked.score_kind()};
  if (is_directory_name(options.report.output)) {
    StreamQuestion question = asked.stream_question(explainer, samples.preprocessing);
    question.stacked = choices.stacked;
    parts.manifest = manifest_of(found, samples.names, question, choices.batch_size);
  }
  Report(options.report, samples, found, std::move(parts)).write();
  warn_of_lost_parts(found, asked.calls(), asked.registry().rules, samples.names, options.model.path);
  if (options.stats) print_stats(explainer.program(), std::min(choices.batch_size, samples.count()));
}

}  // namespace

void add_analyze(CLI::App& app, Run& run) {
  auto options = std::make_shared<AnalyzeChoices>();
  CLI::App* command =
      app.add_subcommand("analyze", "Explain the model's answers: arrays and heat maps of what counted");
  add_analysis_options(*command, *options);
  add_stream_options(*command, options->stream);
  command->add_flag("--stats", options->stats,
                    "Say how much the compiled analysis computes, and how much memory it takes");
  add_report_options(*command, options->report);
  command->callback([options, &run] {
    run = [options] {
      if (is_stream(*options, options->stream, options->report))
        run_stream(*options, options->stream, options->report);
      else
        analyze(*options);
    };
  });
}

}  // namespace rulegrad::cli
