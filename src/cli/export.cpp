#include "rulegrad/api/export.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/support/error.hpp"

#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/question.hpp"
#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

struct ExportChoices {
  ModelOptions model;
  QuestionOptions question;
  std::vector<std::string> methods, nodes, keep;
  std::string output, target = "largest";
  std::int64_t opset = 0, most_samples = 16;
  bool external_data = false, share_weights = false;
};

Targets target_from_name(const std::string& name) {
  if (name == "largest") return Targets::largest;
  if (name == "given") return Targets::given;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format(
          "--target '{}': a file explains the largest score of each sample, or has an input `target` for "
          "the one that is given; write largest or given",
          name));
}

void export_file(const ExportChoices& options) {
  if (std::filesystem::path(options.output).extension() != ".onnx")
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--output '{}': the name of the file must end in .onnx", options.output));
  Registry registry = options.model.registry();
  registry.rules = library_with(registry, options.question.rule_files);
  ExportOptions how;
  how.registry = &registry;
  how.targets = target_from_name(options.target);
  how.seed = seed_from_name(options.question.seed);
  how.head = head_from_name(options.question.head);
  how.opset = options.opset;
  how.most_samples = options.most_samples;
  how.external_data = options.external_data;
  how.share_weights = options.share_weights;
  std::vector<AnalyzerCall> calls;
  for (const std::string& method : options.methods) {
    calls.push_back(parse_method(method, options.question));
    (void)registry.rules.analyzer(calls.back().name);  // an unknown method is told before a model is loaded
  }
  const Model model = load_model(options.model);
  how.output = output_index(options.model, model);
  note_output(options.model, model);
  how.nodes = options.nodes;
  how.keep = options.keep;
  how.aux = auxiliary_arrays(options.question);
  (void)export_explanation(model, calls, options.output, how);
  const ModelSummary file = inspect_onnx(options.output);
  for (const ModelSummary::Value& input : file.inputs)
    say(fmt::format("input   {}  {}\n", input.name, input.type));
  for (const ModelSummary::Value& output : file.outputs)
    say(fmt::format("output  {}  {}\n", output.name, output.type));
  say(fmt::format("wrote {}, operator set {}\n", options.output, file.opset));
}

}  // namespace

void add_export(CLI::App& app, Run& run) {
  auto options = std::make_shared<ExportChoices>();
  CLI::App* command = app.add_subcommand(
      "export", "Write prediction and explanation as one ONNX file that other runtimes compute");
  add_model_options(*command, options->model);
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  command->add_option("--output,-o", options->output, "Where the file goes")
      ->required()
      ->type_name("FILE.onnx");
  command
      ->add_option("--target", options->target,
                   "Explain the largest score of each sample (default), or let an input `target` say which")
      ->type_name("largest|given");
  command
      ->add_option("--opset", options->opset,
                   "The operator set, 13 to 23; the lowest that the operators need unless given")
      ->type_name("N");
  command
      ->add_option("--most-samples", options->most_samples,
                   "Write out loops of at most so many samples (default 16), a copy of the network each; "
                   "longer ones become a Loop")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--external-data", options->external_data,
                    "Put weights into a file beside it, FILE.onnx.data, which may be larger than 2 GB");
  command->add_flag(
      "--share-weights", options->share_weights,
      "Refer to large weights where they lie in the model's files, which must be in the folder of the "
      "file or below, instead of writing them once more");
  command
      ->add_option("--at", options->nodes,
                   "Explain these inputs or inner nodes instead of every input; may be given several times")
      ->type_name("NODE");
  command
      ->add_option("--keep", options->keep,
                   "Nodes that canonizers leave as they are, so that --at finds them")
      ->type_name("NODE");
  add_method_options(*command, options->question);
  command->callback([options, &run] { run = [options] { export_file(*options); }; });
}

}  // namespace rulegrad::cli
