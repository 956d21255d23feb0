#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/commands.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/text.hpp"

namespace rulegrad::cli {
namespace {

void inspect(const std::string& path) {
  const ModelSummary summary = inspect_onnx(path);
  std::string text = fmt::format("{}\n  opset {}{}\n", path, summary.opset, summary.producer.empty() ? "" : ", written by " + summary.producer);
  for (const auto& input : summary.inputs) text += fmt::format("  input   {}  {}\n", input.name, input.type);
  for (const auto& output : summary.outputs) text += fmt::format("  output  {}  {}\n", output.name, output.type);
  text += fmt::format("  {} parameters, {:.2f} MB\n  operators:\n", summary.parameters, static_cast<double>(summary.parameter_bytes) / 1e6);
  for (const auto& [name, count] : summary.operators) text += fmt::format("    {:>5}  {}\n", count, name);
  if (summary.unmapped.empty()) {
    text += "  everything can be mapped\n";
  } else {
    text += "  not mapped:\n";
    for (const auto& [name, nodes] : summary.unmapped) text += fmt::format("    {} at {}\n", name, join(nodes));
  }
  fmt::print("{}", text);
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("inspect", "Show a model's inputs, outputs, operators and parameters, and what cannot be mapped");
  command->add_option("model", *path, "The network, an ONNX file")->required()->type_name("MODEL");
  command->callback([path, &run] {
    run = [path] { inspect(*path); };
  });
}

}  // namespace rulegrad::cli
