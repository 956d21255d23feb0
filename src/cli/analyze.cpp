#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/explain/unapplied.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/commands.hpp"
#include "cli/completeness.hpp"
#include "cli/loading.hpp"
#include "cli/question.hpp"
#include "cli/report.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "cli/verify.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::vector<std::string> methods;
  QuestionOptions question;
  std::string labels;
  std::vector<std::string> nodes, keep;
  double memory = 1024;
  bool verify = false, verify_numbers = false, stats = false;
  ReportOptions report;
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
  fmt::print(stderr, "computed once and kept: {} constants, {:.1f} MB\n", stats.folded_constants,
             megabytes(stats.folded_bytes));
  for (const std::string& fold : stats.large_folds) fmt::print(stderr, "  {}\n", fold);
  fmt::print(stderr, "constants in the forms that kernels read: {:.1f} MB\n", megabytes(stats.packed_bytes));
  fmt::print(stderr, "working memory for {} sample{}: {:.1f} MB ({:.1f} MB if nothing were used twice)\n",
             batch, batch == 1 ? "" : "s", megabytes(stats.arena_bytes), megabytes(stats.unplanned_bytes));
  for (const std::int64_t samples : stats.samples_at_once)
    fmt::print(stderr, "a loop takes {} of its samples at once\n", samples);
}

class Analyzing {
 public:
  explicit Analyzing(const Options& options)
      : options_(options),
        registry_(registry_of(options)),
        calls_(parse_calls()),
        loaded_(load(options.model, options.input)),
        output_(output_index(options.model, loaded_.model)),
        scores_(loaded_.model, output_, options.labels) {}

  void run() {
    const Samples& samples = loaded_.samples;
    const Chosen chosen = resolve_targets(options_.question.target, samples.count(), scores_);
    note_output(options_.model, loaded_.model);
    const Explainer explainer(loaded_.model, calls_, explainer_options(chosen));
    check_output_choice(options_.report, calls_.size() * explainer.nodes().size(), chosen.each);
    for (const std::string& node : explainer.nodes()) note_other_inputs(explainer.nodes(), node);

    ExplainChoices choices{.targets = chosen.targets,
                           .batch_size = batch_size_for(options_.run, loaded_.model, samples.count()),
                           .threads = options_.run.threads};
    if (chosen.each > 1) choices.stacked = chosen.each;
    if (seed_ == Question::Seed::tensor) {
      const Expr y = loaded_.model.outputs()[output_].expr;
      choices.seed = read_seed(options_.question.seed, samples.count(), scores_.count(), y.dtype());
    }
    Progress progress("analyzing", samples.count() * chosen.each);
    choices.progress = [&, before = std::int64_t{0}](std::int64_t done, std::int64_t) mutable {
      progress.advance(done - std::exchange(before, done));
    };
    const Explanation found = explainer.run(samples.inputs, choices);
    Report(options_.report, samples, found, {scores_, seed_name(choices.seed), tokens_of(explainer.nodes())})
        .write();
    warn_of_lost_parts(found, calls_, registry_.rules, samples.names, options_.model.path);
    if (options_.stats) print_stats(explainer.program(), std::min(choices.batch_size, samples.count()));
  }

 private:
  static Registry registry_of(const Options& options) {
    Registry registry = options.model.registry();
    registry.rules = library_with(registry, options.question.rule_files);
    return registry;
  }

  std::vector<AnalyzerCall> parse_calls() {
    std::vector<AnalyzerCall> calls;
    for (const std::string& method : options_.methods) {
      calls.push_back(parse_method(method, options_.question));
      (void)registry_.rules.analyzer(
          calls.back().name);  // an unknown method is told before a model is loaded
    }
    return calls;
  }

  ExplainerOptions explainer_options(const Chosen& chosen) {
    const Model& model = loaded_.model;
    ExplainerOptions how;
    how.registry = &registry_;
    how.targets = chosen.largest ? Targets::largest : Targets::given;
    how.seed = seed_ = seed_from_name(options_.question.seed);
    how.output = output_;
    how.head = head_from_name(options_.question.head);
    how.nodes = options_.nodes;
    if (how.nodes.empty()) (void)explained_by_default(model, output_);  // its message knows of --at
    how.keep_explained = false;
    how.keep = options_.keep;
    how.aux = auxiliary_arrays(options_.question);
    how.check_finite = !options_.model.allow_non_finite;
    how.precision = options_.run.precision();
    how.rounding = !options_.run.exact;
    how.prove_canonizers = false;  // `verify_canonizers` remembers what it proved
    how.memory = static_cast<std::size_t>(options_.memory * (1 << 20));
    how.totals = true;
    if (options_.verify_numbers) {
      how.verify_numbers = 2;
      how.log = [](std::string_view line) {
        if (line.find("plain float64 path") != std::string_view::npos)
          fmt::print(stderr, "{}", harmless(fmt::format("{}\n", line)));
      };
    }
    how.on_analysis = [this, &model, question_output = model.head(how.head, output_)](
                          std::size_t method, const Analysis& analysis) {
      verify_canonizers(options_.model, model, registry_.rules, options_.methods[method], question_output,
                        analysis, options_.verify);
      for (const std::string& note : analysis.notes)
        fmt::print(stderr, "{}", harmless(fmt::format("{}: {}\n", calls_[method].name, note)));
      for (const UnappliedRule& rule : unapplied_rules(registry_.rules, calls_[method], analysis))
        fmt::print(stderr, "{}", harmless(fmt::format("warning: {}\n", to_string(rule))));
    };
    return how;
  }

  /// Inputs that are looked up are not explained beside others unless they are named.
  void note_other_inputs(const std::vector<std::string>& explained, const std::string& node) const {
    if (!options_.nodes.empty() || node != explained.front()) return;
    for (const ModelInput& input : loaded_.model.inputs())
      if (std::find(explained.begin(), explained.end(), input.name) == explained.end() &&
          !lookups_of(loaded_.model, input.name, output_).empty())
        fmt::print(stderr, "{}",
                   harmless(fmt::format(
                       "the input '{}' holds integers that are looked up; --at {} explains it too\n",
                       input.name, input.name)));
  }

  /// What a seed of the person's own asks for, in few words where it has few parts: `cat - dog`.
  [[nodiscard]] std::string seed_name(const Tensor& seed) const {
    if (seed.size() == 0 || seed_ != Question::Seed::tensor) return "";
    std::string text;
    int parts = 0;
    const std::int64_t width = scores_.count();
    for (std::int64_t i = 0; i < seed.size(); ++i)
      if (i >= width && seed.at(i) != seed.at(i % width)) return "seed " + options_.question.seed;
    for (std::int64_t k = 0; k < width; ++k) {
      const double weight = seed.at(k);
      if (weight == 0) continue;
      if (++parts > 3) return "seed " + options_.question.seed;
      text += text.empty() ? (weight < 0 ? "-" : "") : weight < 0 ? " - " : " + ";
      if (std::abs(weight) != 1) text += fmt::format("{:.4g} ", std::abs(weight));
      text += scores_.name(k);
    }
    return text.empty() ? "seed of zeros" : text;
  }

  [[nodiscard]] std::map<std::string, TokenInput> tokens_of(const std::vector<std::string>& nodes) const {
    std::map<std::string, TokenInput> result;
    for (const ModelInput& input : loaded_.model.inputs()) {
      if (is_floating(input.expr.dtype()) || std::find(nodes.begin(), nodes.end(), input.name) == nodes.end())
        continue;
      std::int64_t rows = 0;
      for (const Expr lookup : lookups_of(loaded_.model, input.name, output_))
        rows = std::max(rows, lookup.operand(0).shape()[0].factor);
      result[input.name] = {loaded_.samples.inputs.at(input.name), rows};
    }
    return result;
  }

  const Options& options_;
  Registry registry_;
  std::vector<AnalyzerCall> calls_;
  Loaded loaded_;
  std::size_t output_;
  ScoreNames scores_;
  Question::Seed seed_ = Question::Seed::own;
};

}  // namespace

void add_analyze(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("analyze", "Explain the model's answers: arrays and heat maps of what counted");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  add_question_options(*command, options->question);
  command
      ->add_option("--at", options->nodes,
                   "Explain these inputs or inner nodes instead of every input; an input of token ids by the "
                   "values that\nlook them up; may be given several times")
      ->type_name("NODE");
  command
      ->add_option("--keep", options->keep,
                   "Nodes that canonizers leave as they are, so that --at finds them")
      ->type_name("NODE");
  command
      ->add_option("--memory", options->memory,
                   "Megabytes that the samples of a method may take together (default 1024)")
      ->type_name("MB")
      ->check(CLI::PositiveNumber);
  command->add_option("--labels", options->labels, "A text file with one class name a line")
      ->type_name("FILE");
  add_verify_option(*command, options->verify);
  add_verify_numbers_option(*command, options->verify_numbers);
  command->add_flag("--stats", options->stats,
                    "Say how much the compiled analysis computes, and how much memory it takes");
  add_report_options(*command, options->report);
  add_run_choices(*command, options->run);
  command->callback([options, &run] { run = [options] { Analyzing(*options).run(); }; });
}

}  // namespace rulegrad::cli
