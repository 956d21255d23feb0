#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/print_json.hpp"
#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

struct InspectChoices {
  std::string path;
  bool json = false;
};

/// What a file holds, and why it is refused although every operator is known, or nothing: an operator may be asked for
/// what it cannot do.
struct Look {
  ModelSummary summary;
  std::string refused;
  std::vector<LeftOut> missing;  ///< outputs
};

/// A file that loads is read once. One with free axes is tried with extents that most networks take.
Look look_at(const std::string& path) {
  std::string why;
  try {
    const Model model = load_onnx(path);
    return {model.summary(), {}, left_out(model)};
  } catch (const Error& error) {
    why = error.what();
  }
  Look look{inspect_onnx(path), {}, {}};
  if (!look.summary.unmapped.empty()) return look;
  const std::vector<FreeAxis> free = free_axes(look.summary);
  look.refused = free.empty() ? why : std::string();
  LoadOptions options;
  for (const FreeAxis& axis : free) options.extents[axis.key] = axis.axis >= 2 ? 224 : 16;
  try {
    if (!free.empty()) look.missing = left_out(load_onnx(path, options));
  } catch (const Error& error) {
    look.refused = fmt::format("with 16 and 224 for the free axes, where others may do: {}", error.what());
  }
  return look;
}

void print_json(const std::string& path, const Look& look) {
  const ModelSummary& summary = look.summary;
  Json json;
  json.open('{')
      .key("model")
      .text(path)
      .key("opset")
      .number(summary.opset)
      .key("producer")
      .text(summary.producer);
  for (const auto& [kind, values] :
       {std::pair{"inputs", &summary.inputs}, std::pair{"outputs", &summary.outputs}}) {
    json.key(kind).open('[');
    for (const auto& value : *values)
      json.open('{').key("name").text(value.name).key("type").text(value.type).close('}');
    json.close(']');
  }
  json.key("free_axes").open('[');
  for (const FreeAxis& free : free_axes(summary))
    json.open('{')
        .key("dim")
        .text(free.key)
        .key("input")
        .text(free.input)
        .key("axis")
        .number(static_cast<std::int64_t>(free.axis))
        .close('}');
  json.close(']')
      .key("parameters")
      .number(summary.parameters)
      .key("parameter_bytes")
      .number(summary.parameter_bytes)
      .key("operators")
      .open('{');
  for (const auto& [name, count] : summary.operators) json.key(name).number(static_cast<std::int64_t>(count));
  json.close('}').key("unmapped").open('{');
  for (const auto& [name, nodes] : summary.unmapped) {
    json.key(name).open('[');
    for (const std::string& node : nodes) json.text(node);
    json.close(']');
  }
  json.close('}').key("left_out").open('[');
  for (const LeftOut& missing : look.missing)
    json.open('{').key("output").text(missing.output).key("reason").text(missing.reason).close('}');
  json.close(']').key("refused").text(look.refused).close('}');
  print_answer(json);
}

void inspect(const InspectChoices& options) {
  const std::string& path = options.path;
  const Look look = look_at(path);
  const ModelSummary& summary = look.summary;
  if (options.json) return print_json(path, look);
  std::string text = fmt::format("{}\n  opset {}{}\n", path, summary.opset,
                                 summary.producer.empty() ? "" : ", written by " + summary.producer);
  for (const auto& input : summary.inputs) text += fmt::format("  input   {}  {}\n", input.name, input.type);
  for (const auto& output : summary.outputs)
    text += fmt::format("  output  {}  {}\n", output.name, output.type);
  for (const FreeAxis& free : free_axes(summary))
    text += fmt::format(
        "  free    {}, axis {} of '{}': as long as the array that is given, or as --dim {}=EXTENT says\n",
        free.key, free.axis, free.input, free.key);
  text += fmt::format("  {} parameters, {:.2f} MB\n  operators:\n", summary.parameters,
                      static_cast<double>(summary.parameter_bytes) / 1e6);
  for (const auto& [name, count] : summary.operators) text += fmt::format("    {:>5}  {}\n", count, name);
  if (!look.refused.empty()) {
    text += fmt::format("  refused: {}\n", look.refused);
  } else if (summary.unmapped.empty() && look.missing.empty()) {
    text += "  everything can be mapped\n";
  } else if (!summary.unmapped.empty()) {
    text += "  not mapped:\n";
    for (const auto& [name, nodes] : summary.unmapped)
      text += fmt::format("    {} at {}\n", name, join(nodes));
  }
  for (const LeftOut& missing : look.missing)
    text += fmt::format("  left out: output {}: {}\n", missing.output, missing.reason);
  say(text);
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  auto options = std::make_shared<InspectChoices>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show a model's inputs, outputs, operators and parameters, and what cannot be mapped");
  command->add_option("model", options->path, "The network, an ONNX file")->required()->type_name("MODEL");
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { inspect(*options); }; });
}

}  // namespace rulegrad::cli
