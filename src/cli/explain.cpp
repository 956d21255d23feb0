#include "rulegrad/explain/explain.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/files/text_file.hpp"

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/question.hpp"
#include "cli/sample_case.hpp"
#include "cli/say.hpp"
#include "cli/verify.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  QuestionOptions question;
  std::string method;
  InputOptions input;
  RunChoices run;
  std::int64_t sample = 0;
  std::string dot;
  std::string node;
  std::size_t width = 0;
  bool verify = false;
};

class Explaining {
 public:
  explicit Explaining(const Options& options)
      : options_(options),
        library_(library_with(options.model.registry(), options.question.rule_files)),
        call_(parse_method(options.method, options.question)),
        case_((static_cast<void>(library_.analyzer(call_.name)), options.model), options.question,
              options.input, options.sample) {}

  void run() {
    const Registry& registry = options_.model.registry();
    const Analysis analysis =
        analyze(library_, call_, case_.question(), registry.operators, registry.samplers);
    verify_canonizers(options_.model, case_.model(), library_, call_.name, case_.question().output, analysis,
                      options_.verify);
    if (!options_.dot.empty())
      io::write_text(options_.dot, explain_dot(analysis));  // first: what cannot be written prints nothing
    if (!options_.node.empty()) {
      say(fmt::format("{}", explain_node(analysis, options_.node, !options_.run.exact)));
    } else if (case_.has_sample()) {
      const FlowQuestions questions(analysis);
      const RelevanceFlow flow = questions.read(case_.evaluate(questions.expressions(), options_.run));
      say(fmt::format("{} by {}, {}\n\n{}", options_.model.path, options_.method, case_.sample_name(),
                      flow_table(analysis, flow, text_width(options_.width))));
    } else {
      say(fmt::format("{} by {}: {} gradient nodes, from the output to the input\n\n", options_.model.path,
                      options_.method, analysis.steps.size()));
      say(fmt::format("{}", explain_table(analysis, text_width(options_.width))));
    }
    if (!options_.dot.empty()) say(fmt::format("wrote {}\n", options_.dot));
  }

 private:
  const Options& options_;
  RuleLibrary library_;
  AnalyzerCall call_;
  SampleCase case_;
};

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "explain",
      "Tell which rule of a method closed each gradient node of a model and why, and where relevance went");
  add_model_options(*command, options->model);
  command->add_option("--method,-m", options->method, "A method, as name or name:key=value,key=value")
      ->required()
      ->type_name("NAME");
  command->add_option("--node", options->node, "Print the whole derivation of the node of this name")
      ->type_name("NAME");
  command
      ->add_option("--dot", options->dot,
                   "Write the rewritten graph as a drawing for Graphviz (`dot -Tsvg FILE`)")
      ->type_name("FILE");
  add_sample_options(*command, options->input, options->sample);
  add_question_options(*command, options->question);
  add_run_choices(*command, options->run);
  add_verify_option(*command, options->verify);
  add_width_option(*command, options->width);
  command->callback([options, &run] { run = [options] { Explaining(*options).run(); }; });
}

}  // namespace rulegrad::cli
