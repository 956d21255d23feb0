#include "rulegrad/explain.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/question.hpp"
#include "cli/session.hpp"
#include "io/file.hpp"
#include "rulegrad/error.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  QuestionOptions question;
  std::string method;
  std::string dot;
  std::string node;
  std::size_t width = 0;
};

class Explaining {
 public:
  explicit Explaining(const Options& options)
      : options_(options),
        library_(library_with(options.question.rule_files)),
        call_(AnalyzerCall::parse(options.method)),
        model_((static_cast<void>(library_.analyzer(call_.name)), load_model(options.model))),
        explained_(model_.head(head_from_name(options.question.head))) {}

  void run() {
    const Question question = make_question(model_, explained_, options_.question.target != "argmax", options_.question.seed);
    const Analysis analysis = analyze(library_, call_, question);
    if (!options_.node.empty()) {
      fmt::print("{}", explain_node(analysis, options_.node));
    } else {
      fmt::print("{} by {}: {} gradient nodes, from the output to the input\n\n", options_.model.path, options_.method, analysis.steps.size());
      fmt::print("{}", explain_table(analysis, text_width(options_.width)));
    }
    if (!options_.dot.empty()) {
      const std::string drawing = explain_dot(analysis);
      io::write_atomically(options_.dot, {std::as_bytes(std::span(drawing))}, "explain");
      fmt::print("wrote {}\n", options_.dot);
    }
  }

 private:
  const Options& options_;
  RuleLibrary library_;
  AnalyzerCall call_;
  Model model_;
  Expr explained_;
};

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("explain", "Tell which rule of a method closed each gradient node of a model, and why");
  add_model_options(*command, options->model);
  command->add_option("--method,-m", options->method, "A method, as name or name:key=value,key=value")->required()->type_name("NAME");
  command->add_option("--node", options->node, "Print the whole derivation of the node of this name")->type_name("NAME");
  command->add_option("--dot", options->dot, "Write the rewritten graph as a drawing for Graphviz (`dot -Tsvg FILE`)")->type_name("FILE");
  add_question_options(*command, options->question);
  add_width_option(*command, options->width);
  command->callback([options, &run] {
    run = [options] { Explaining(*options).run(); };
  });
}

}  // namespace rulegrad::cli
