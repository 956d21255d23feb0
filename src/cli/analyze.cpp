#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.hpp"
#include "cli/question.hpp"
#include "cli/report.hpp"
#include "cli/session.hpp"
#include "cli/verify.hpp"
#include "rulegrad/analyzer.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/io/npy.hpp"
#include "rulegrad/op_attributes.hpp"
#include "rulegrad/separable.hpp"
#include "rulegrad/text.hpp"
#include "rulegrad/unapplied.hpp"

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
  fmt::print(stderr, "kernel calls: {}, of which {} convolutions and matrix products; {} results take over the memory of an operand\n", stats.instructions,
             stats.contractions, stats.in_place);
  if (stats.winograd != 0) fmt::print(stderr, "convolutions by Winograd's transforms: {}\n", stats.winograd);
  fmt::print(stderr, "computed once and kept: {} constants, {:.1f} MB\n", stats.folded_constants, megabytes(stats.folded_bytes));
  for (const std::string& fold : stats.large_folds) fmt::print(stderr, "  {}\n", fold);
  fmt::print(stderr, "constants in the forms that kernels read: {:.1f} MB\n", megabytes(stats.packed_bytes));
  fmt::print(stderr, "working memory for {} sample{}: {:.1f} MB ({:.1f} MB if nothing were used twice)\n", batch, batch == 1 ? "" : "s",
             megabytes(stats.arena_bytes), megabytes(stats.unplanned_bytes));
  for (const std::int64_t samples : stats.samples_at_once) fmt::print(stderr, "a loop takes {} of its samples at once\n", samples);
}

std::vector<Expr> find_nodes(Expr output, const std::vector<std::string>& names) {
  std::vector<Expr> nodes;
  for (const std::string& name : names) nodes.push_back(find_node(output, name));
  return nodes;
}

/// [n, B, ...] as [B, n, ...], so that rows are samples.
Tensor batch_first(const Tensor& stacked) {
  Dims dims = stacked.dims();
  std::swap(dims[0], dims[1]);
  Tensor result = Tensor::uninitialized(stacked.dtype(), dims);
  const auto batch = static_cast<std::size_t>(dims[0]), count = static_cast<std::size_t>(dims[1]);
  const std::size_t each = stacked.bytes() / (batch * count);
  for (std::size_t b = 0; b < batch; ++b)
    for (std::size_t k = 0; k < count; ++k)
      std::copy_n(stacked.data() + (k * batch + b) * each, each, result.mutable_data() + (b * count + k) * each);
  return result;
}

class Analyzing {
 public:
  explicit Analyzing(const Options& options)
      : options_(options),
        library_(options.model.registry().rules),
        calls_(parse_calls()),
        model_(load_model(options.model)),
        samples_(load_samples(options.input, model_)),
        explained_(model_.head(head_from_name(options.question.head))) {}

  void run() {
    const std::int64_t scores = explained_.shape().count().factor;
    const Targets targets = resolve_targets(options_.question.target, samples_.count(), scores);
    const std::size_t passes = targets.largest ? 1 : targets.passes.size();
    check_output_choice(options_.report, calls_.size() * std::max<std::size_t>(options_.nodes.size(), 1), passes);
    const Program program = compile(targets);
    Report report(options_.report, samples_, options_.labels.empty() ? std::vector<std::string>{} : read_labels(options_.labels));
    for (const AnalyzerCall& call : calls_) {
      if (options_.nodes.size() < 2) report.add_method(method_label(call));
      else
        for (const std::string& node : options_.nodes) report.add_method(fmt::format("{}@{}", method_label(call), node));
    }

    Progress progress("analyzing", samples_.count() * static_cast<std::int64_t>(passes));
    const std::int64_t batch = batch_size_for(options_.run, model_, samples_.count());
    if (mixing_ && batch < samples_.count())
      throw Error(ErrorCode::model, fmt::format("the {} samples cannot be cut into runs of {}, because {} mixes them; run them at once with --batch-size {}",
                                                samples_.count(), batch, describe(*mixing_), samples_.count()));
    for (std::size_t pass = 0; pass < passes; ++pass) {
      for (std::int64_t first = 0; first < samples_.count(); first += batch) {
        const std::int64_t count = std::min(batch, samples_.count() - first);
        Inputs inputs{{model_.inputs()[0].name, rows(samples_.values, first, count)}};
        if (!targets.largest) inputs[target_input] = target_rows(targets.passes[pass], first, count);
        if (seed_.size() != 0) inputs[seed_input] = rows(seed_, first, count);
        std::vector<Tensor> results = program.run(inputs, {.threads = options_.run.threads, .batch_offset = first});
        if (numbers_ && pass == 0 && (first == 0 || first + batch >= samples_.count())) numbers_->hold(inputs, results, count, first);
        for (const std::size_t k : stacked_) results[k] = batch_first(results[k]);
        report.add_batch(pass, first, results[0], std::span(results).subspan(1));
        progress.advance(count);
      }
    }
    if (numbers_) numbers_->tell(output_labels_);
    report.write();
    if (options_.stats) print_stats(program, std::min(batch, samples_.count()));
  }

 private:
  std::vector<AnalyzerCall> parse_calls() {
    for (const std::string& file : options_.question.rule_files) library_.add_file(file);
    std::vector<AnalyzerCall> calls;
    for (const std::string& method : options_.methods) {
      calls.push_back(parse_method(method, options_.question));
      (void)library_.analyzer(calls.back().name);  // an unknown method is told before a model is loaded
    }
    return calls;
  }

  std::string method_label(const AnalyzerCall& call) const {
    // Two calls of one method are told apart by their arguments.
    const auto same = std::count_if(calls_.begin(), calls_.end(), [&](const AnalyzerCall& other) { return other.name == call.name; });
    return same > 1 ? options_.methods[static_cast<std::size_t>(&call - calls_.data())] : call.name;
  }

  Program compile(const Targets& targets) {
    Question question = make_question(model_, explained_, !targets.largest, options_.question);
    if (question.seed == Question::Seed::tensor) seed_ = read_seed(options_.question.seed, samples_.count(), question.seed_tensor);
    if (!options_.nodes.empty()) question.explained = find_nodes(explained_, options_.nodes);
    question.keep = find_nodes(explained_, options_.keep);

    std::vector<Expr> outputs;
    for (const AnalyzerCall& call : calls_) {
      const Analysis analysis = analyze(library_, call, question, options_.model.registry().operators, options_.model.registry().samplers);
      verify_canonizers(options_.model, model_, library_, method_label(call), question.output, analysis, options_.verify);
      if (outputs.empty()) outputs.push_back(analysis.output);
      for (std::size_t k = 0; k < analysis.attributions.size(); ++k) {
        if (analysis.attributions[k].shape().rank() > question.explained[k].shape().rank()) stacked_.push_back(outputs.size());
        outputs.push_back(analysis.attributions[k]);
        output_labels_.push_back(options_.nodes.size() < 2 ? method_label(call) : fmt::format("{}@{}", method_label(call), options_.nodes[k]));
      }
      for (const std::string& note : analysis.notes) fmt::print(stderr, "{}: {}\n", call.name, note);
      for (const UnappliedRule& rule : unapplied_rules(library_, call, analysis)) fmt::print(stderr, "warning: {}\n", to_string(rule));
    }
    mixing_ = first_mixing(outputs);
    CompileOptions how = compile_options(options_.model, options_.run);
    how.memory = static_cast<std::size_t>(options_.memory * (1 << 20));
    if (options_.verify_numbers) numbers_.emplace(NumberVerifier(outputs, how.precision, how.kernels));
    return Program::compile(outputs, how);
  }

  const Options& options_;
  RuleLibrary library_;
  std::vector<AnalyzerCall> calls_;
  Model model_;
  Samples samples_;
  Expr explained_;
  Tensor seed_;
  std::optional<HeldNumbers> numbers_;
  std::vector<std::string> output_labels_;  ///< of the results behind the scores
  std::vector<std::size_t> stacked_;  ///< results with a map for each sample of a loop
  std::optional<Expr> mixing_;
};

}  // namespace

void add_analyze(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("analyze", "Explain the model's answers: arrays and heat maps of what counted");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  command->add_option("--method,-m", options->methods, "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  add_question_options(*command, options->question);
  command->add_option("--at", options->nodes, "Explain these inner nodes instead of the input; may be given several times")->type_name("NODE");
  command->add_option("--keep", options->keep, "Nodes that canonizers leave as they are, so that --at finds them")->type_name("NODE");
  command->add_option("--memory", options->memory, "Megabytes that the samples of a method may take together (default 1024)")
      ->type_name("MB")
      ->check(CLI::PositiveNumber);
  command->add_option("--labels", options->labels, "A text file with one class name a line, for the labels of a grid")->type_name("FILE");
  add_verify_option(*command, options->verify);
  add_verify_numbers_option(*command, options->verify_numbers);
  command->add_flag("--stats", options->stats, "Say how much the compiled analysis computes, and how much memory it takes");
  add_report_options(*command, options->report);
  add_run_choices(*command, options->run);
  command->callback([options, &run] {
    run = [options] { Analyzing(*options).run(); };
  });
}

}  // namespace rulegrad::cli
