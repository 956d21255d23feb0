#include "rulegrad/explain/explain.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <span>

#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/files/text_file.hpp"

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/print_json.hpp"
#include "cli/question.hpp"
#include "cli/sample_case.hpp"
#include "cli/say.hpp"
#include "cli/verify.hpp"

namespace rulegrad::cli {
namespace {

struct ExplainChoices {
  ModelOptions model;
  QuestionOptions question;
  std::string method;
  InputOptions input;
  RunChoices run;
  std::int64_t sample = 0;
  std::string dot;
  std::string node;
  std::size_t width = 0;
  bool verify = false, json = false;
};

class Explaining {
 public:
  explicit Explaining(const ExplainChoices& options)
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
    if (options_.json) return answer(analysis);
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
  void answer(const Analysis& analysis) const {
    Json json;
    json.open('{').key("model").text(options_.model.path).key("method").text(options_.method);
    std::optional<RelevanceFlow> flow;
    json.key("sample");
    if (case_.has_sample()) {
      const FlowQuestions questions(analysis);
      flow = questions.read(case_.evaluate(questions.expressions(), options_.run));
      json.text(case_.sample_name());
      json.key("seed").number(flow->seed).key("reached").number(flow->reached);
    } else {
      json.null();
    }
    json.key("steps").open('[');
    for (const ExplainedStep& step : explained_steps(analysis)) {
      if (!options_.node.empty() && step.node != options_.node) continue;
      json.open('{')
          .key("node")
          .text(step.node)
          .key("operator")
          .text(step.op)
          .key("operand")
          .text(step.operand);
      json.key("rule").text(step.rule).key("place").text(step.place).key("why").text(step.why);
      for (const FlowRow& row : flow ? std::span<const FlowRow>(flow->rows) : std::span<const FlowRow>()) {
        if (row.step != step.step) continue;
        json.key("in").number(row.in).key("out").number(row.out).key("bias").number(row.bias);
        json.key("stabiliser").number(row.stabiliser).key("rest").number(row.rest);
        json.key("low").number(row.low).key("high").number(row.high);
      }
      json.close('}');
    }
    json.close(']').key("rewrites").open('[');
    for (const ExplainedRewrite& rewrite : explained_rewrites(analysis))
      json.open('{')
          .key("before")
          .text(rewrite.before)
          .key("folded")
          .text(rewrite.folded)
          .key("after")
          .text(rewrite.after)
          .key("rule")
          .text(rewrite.rule)
          .key("place")
          .text(rewrite.place)
          .close('}');
    json.close(']').key("notes").open('[');
    for (const std::string& note : analysis.notes) json.text(note);
    json.close(']').close('}');
    print_answer(json);
  }

  const ExplainChoices& options_;
  RuleLibrary library_;
  AnalyzerCall call_;
  SampleCase case_;
};

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto options = std::make_shared<ExplainChoices>();
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
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { Explaining(*options).run(); }; });
}

}  // namespace rulegrad::cli
