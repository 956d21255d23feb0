#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/explain/comparison.hpp"
#include "rulegrad/support/error.hpp"

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/print_json.hpp"
#include "cli/sample_case.hpp"
#include "cli/say.hpp"
#include "cli/verify.hpp"

namespace rulegrad::cli {
namespace {

struct DiffChoices {
  ModelOptions model;
  QuestionOptions question;
  std::vector<std::string> methods;
  InputOptions input;
  RunChoices run;
  std::int64_t sample = 0;
  std::size_t width = 0;
  bool verify = false, json = false;
};

void answer(const DiffChoices& options, const SampleCase& subject, const Comparison& comparison) {
  Json json;
  json.open('{')
      .key("model")
      .text(options.model.path)
      .key("a")
      .text(options.methods[0])
      .key("b")
      .text(options.methods[1]);
  json.key("sample");
  if (subject.has_sample())
    json.text(subject.sample_name());
  else
    json.null();
  json.key("common").number(static_cast<std::int64_t>(comparison.common())).key("differences").open('[');
  for (const Difference& difference : comparison.differences()) {
    json.open('{')
        .key("node")
        .text(difference.node)
        .key("operator")
        .text(difference.op)
        .key("operand")
        .text(difference.operand);
    json.key("rule_a").text(difference.rule_a).key("place_a").text(difference.place_a);
    json.key("rule_b").text(difference.rule_b).key("place_b").text(difference.place_b);
    json.key("parameters").text(difference.parameters);
    if (subject.has_sample())
      json.key("relative_l1")
          .number(difference.relative_l1)
          .key("relative_max")
          .number(difference.relative_max);
    json.close('}');
  }
  json.close(']').close('}');
  print_answer(json);
}

void compare(const DiffChoices& options) {
  if (options.methods.size() != 2)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("diff compares two methods but {} {} given: --method A --method B",
                            options.methods.size(), options.methods.size() == 1 ? "is" : "are"));
  const RuleLibrary library = library_with(options.model.registry(), options.question.rule_files);
  std::vector<AnalyzerCall> calls;
  for (const std::string& method : options.methods) {
    calls.push_back(parse_method(method, options.question));
    (void)library.analyzer(calls.back().name);  // an unknown method is told before a model is loaded
  }
  const SampleCase subject(options.model, options.question, options.input, options.sample);
  const Registry& registry = options.model.registry();
  const auto analysis_by = [&](const AnalyzerCall& call) {
    Analysis analysis = analyze(library, call, subject.question(), registry.operators, registry.samplers);
    verify_canonizers(options.model, subject.model(), library, call.name, subject.question().output, analysis,
                      options.verify);
    return analysis;
  };
  const Analysis a = analysis_by(calls[0]), b = analysis_by(calls[1]);
  Comparison comparison(a, b);
  if (subject.has_sample()) comparison.read(subject.evaluate(comparison.expressions(), options.run));
  if (options.json) return answer(options, subject, comparison);
  say(fmt::format("{}{}\n\n{}", options.model.path, subject.has_sample() ? ", " + subject.sample_name() : "",
                  comparison.table(options.methods[0], options.methods[1], text_width(options.width))));
}

}  // namespace

void add_diff(CLI::App& app, Run& run) {
  auto options = std::make_shared<DiffChoices>();
  CLI::App* command = app.add_subcommand(
      "diff", "Tell at which layers two methods differ, by which rules, and with an input by how much");
  add_model_options(*command, options->model);
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; given twice")
      ->required()
      ->type_name("NAME");
  add_sample_options(*command, options->input, options->sample);
  add_question_options(*command, options->question);
  add_run_choices(*command, options->run);
  add_width_option(*command, options->width);
  add_json_option(*command, options->json);
  add_verify_option(*command, options->verify);
  command->callback([options, &run] { run = [options] { compare(*options); }; });
}

}  // namespace rulegrad::cli
