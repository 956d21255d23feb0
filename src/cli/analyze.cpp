#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.hpp"
#include "cli/report.hpp"
#include "cli/session.hpp"
#include "rulegrad/analyzer.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/io/npy.hpp"
#include "rulegrad/op_attributes.hpp"
#include "rulegrad/text.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  std::vector<std::string> methods;
  std::vector<std::string> rule_files;
  std::string target = "argmax";
  std::string seed;
  std::string head = "logit";
  std::string labels;
  ReportOptions report;
};

/// Names of graph inputs that carry what the person chose beside the samples.
constexpr const char* target_input = "rulegrad.target";
constexpr const char* seed_input = "rulegrad.seed";

/// What is explained for each sample, resolved from --target.
struct Targets {
  bool largest = true;
  std::vector<std::vector<std::int64_t>> passes;  ///< one index a sample, for each pass over the samples
};

std::int64_t checked_target(std::int64_t index, std::int64_t scores) {
  if (index < 0 || index >= scores)
    throw Error(ErrorCode::invalid_argument, fmt::format("target {} is out of range: the output has {} scores, 0 to {}", index, scores, scores - 1));
  return index;
}

Targets resolve_targets(const std::string& text, std::int64_t samples, std::int64_t scores) {
  Targets targets;
  if (text == "argmax") return targets;
  targets.largest = false;
  if (text == "all") {
    for (std::int64_t k = 0; k < scores; ++k) targets.passes.emplace_back(static_cast<std::size_t>(samples), k);
    return targets;
  }
  if (std::filesystem::path(text).extension() == ".npy") {
    const Tensor file = io::read_npy(text);
    if (is_floating(file.dtype()) || file.size() != samples)
      throw Error(ErrorCode::shape, fmt::format("{} holds {}{} but --target needs one integer for each of the {} samples", text,
                                                name_of(file.dtype()), to_string(std::span(file.dims())), samples));
    auto& pass = targets.passes.emplace_back();
    for (std::int64_t i = 0; i < samples; ++i) pass.push_back(checked_target(static_cast<std::int64_t>(file.at(i)), scores));
    return targets;
  }
  std::size_t used = 0;
  std::int64_t index = -1;
  try {
    index = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used != text.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("--target '{}' is no class index, argmax, all or .npy file", text));
  targets.passes.emplace_back(static_cast<std::size_t>(samples), checked_target(index, scores));
  return targets;
}

HeadKind head_from_name(const std::string& name) {
  const std::vector<std::string> known{"logit", "probability"};
  if (name == known[0]) return HeadKind::logit;
  if (name == known[1]) return HeadKind::probability;
  throw Error(ErrorCode::unknown_name, unknown_name_message("--head", name, known));
}

/// The seed array of --seed FILE.npy, one row of scores a sample.
Tensor read_seed(const std::string& file, std::int64_t samples, std::int64_t scores, DType dtype) {
  const Tensor seed = io::read_npy(file).cast(dtype);
  if (seed.size() == samples * scores) return seed.reshaped({samples, scores});
  if (seed.size() != scores)
    throw Error(ErrorCode::shape, fmt::format("{} has shape {} but --seed needs [{}] or [{}, {}]: a number for each score", file,
                                              to_string(std::span(seed.dims())), scores, samples, scores));
  Tensor repeated = Tensor::uninitialized(dtype, {samples, scores});
  for (std::int64_t i = 0; i < samples; ++i)
    std::copy_n(seed.data(), seed.bytes(), repeated.mutable_data() + static_cast<std::size_t>(i) * seed.bytes());
  return repeated;
}

class Analyzing {
 public:
  explicit Analyzing(const Options& options)
      : options_(options),
        library_(options.model.registry().rules),
        calls_(parse_calls()),
        model_(load_model(options.model)),
        samples_(load_samples(options.input, model_)),
        explained_(model_.head(head_from_name(options.head))) {}

  void run() {
    const std::int64_t scores = explained_.shape().count().factor;
    const Targets targets = resolve_targets(options_.target, samples_.count(), scores);
    const std::size_t passes = targets.largest ? 1 : targets.passes.size();
    check_output_choice(options_.report, calls_.size(), passes);
    const Program program = compile(targets);
    Report report(options_.report, samples_, options_.labels.empty() ? std::vector<std::string>{} : read_labels(options_.labels));
    for (const AnalyzerCall& call : calls_) report.add_method(method_label(call));

    Progress progress("analyzing", samples_.count() * static_cast<std::int64_t>(passes));
    const std::int64_t batch = batch_size_for(options_.run, model_, samples_.count());
    for (std::size_t pass = 0; pass < passes; ++pass) {
      for (std::int64_t first = 0; first < samples_.count(); first += batch) {
        const std::int64_t count = std::min(batch, samples_.count() - first);
        Inputs inputs{{model_.inputs()[0].name, rows(samples_.values, first, count)}};
        if (!targets.largest) inputs[target_input] = target_rows(targets.passes[pass], first, count);
        if (seed_.size() != 0) inputs[seed_input] = rows(seed_, first, count);
        std::vector<Tensor> results = program.run(inputs, {.threads = options_.run.threads});
        report.add_batch(pass, first, results[0], std::span(results).subspan(1));
        progress.advance(count);
      }
    }
    report.write();
  }

 private:
  std::vector<AnalyzerCall> parse_calls() {
    for (const std::string& file : options_.rule_files) library_.add_file(file);
    std::vector<AnalyzerCall> calls;
    for (const std::string& method : options_.methods) {
      calls.push_back(AnalyzerCall::parse(method));
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
    Graph& graph = explained_.graph();
    const Dim batch = model_.inputs()[0].expr.shape()[0];
    const Dim scores = Dim(explained_.shape().count().factor / (batch.batch ? 1 : batch.factor));
    Question question;
    question.output = explained_;
    question.explained = {model_.inputs()[0].expr};
    if (!targets.largest) question.target = graph.input(target_input, {DType::int64, Shape{batch}});
    if (options_.seed == "one") {
      question.seed = Question::Seed::one;
    } else if (options_.seed == "value") {
      question.seed = Question::Seed::value;
    } else if (std::filesystem::path(options_.seed).extension() == ".npy") {
      question.seed = Question::Seed::tensor;
      seed_ = read_seed(options_.seed, samples_.count(), scores.factor, explained_.dtype());
      question.seed_tensor = graph.input(seed_input, {explained_.dtype(), Shape{batch, scores}});
    } else if (!options_.seed.empty()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("--seed '{}' is not one, value or a .npy file", options_.seed));
    }

    std::vector<Expr> outputs;
    for (const AnalyzerCall& call : calls_) {
      const Analysis analysis = analyze(library_, call, question, options_.model.registry().operators);
      if (outputs.empty()) outputs.push_back(analysis.output);
      outputs.push_back(analysis.attributions[0]);
    }
    return Program::compile(outputs, {.check_finite = !options_.model.allow_non_finite, .kernels = options_.model.kernels()});
  }

  static Tensor target_rows(const std::vector<std::int64_t>& targets, std::int64_t first, std::int64_t count) {
    return Tensor({count}, std::span(targets).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
  }

  const Options& options_;
  RuleLibrary library_;
  std::vector<AnalyzerCall> calls_;
  Model model_;
  Samples samples_;
  Expr explained_;
  Tensor seed_;
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
  command->add_option("--target", options->target, "Which score is explained: argmax (each sample's largest, the default), an index,\nall, or a .npy file with one index a sample")
      ->type_name("N|argmax|all|FILE");
  command->add_option("--seed", options->seed, "What is sent back from the score: one, value (the score itself) or a .npy file;\nthe method's own unless given")
      ->type_name("one|value|FILE");
  command->add_option("--head", options->head, "Explain the logit below a final softmax or sigmoid (default), or the probability")->type_name("logit|probability");
  command->add_option("--rules", options->rule_files, "Rule files with methods of your own")->type_name("FILE.rules");
  command->add_option("--labels", options->labels, "A text file with one class name a line, for the labels of a grid")->type_name("FILE");
  add_report_options(*command, options->report);
  add_run_choices(*command, options->run);
  command->callback([options, &run] {
    run = [options] { Analyzing(*options).run(); };
  });
}

}  // namespace rulegrad::cli
