#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/api/registry.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/tensor/dtype.hpp"

namespace CLI {
class App;
}  // namespace CLI

/// What the person typed, command by command.
namespace rulegrad::cli {

struct ModelOptions {
  std::string path;
  std::string dtype = "float32";
  bool allow_non_finite = false;
  std::vector<std::string> plugins;
  std::vector<std::string> dims;  ///< NAME=EXTENT
  std::string output_node;

  /// What ships and what the plugins add, which are loaded when this is first asked for.
  [[nodiscard]] const Registry& registry() const;
  /// For Program::compile: those of the plugins, or null.
  [[nodiscard]] const Kernels* kernels() const { return plugins.empty() ? nullptr : &registry().kernels; }

 private:
  mutable std::shared_ptr<const Registry> registry_;
};

struct InputOptions {
  std::vector<std::string> files;
  std::string recipe;
  std::vector<double> mean, std;
  std::optional<double> scale;
  std::string layout, color;
  std::int64_t short_side = 0;

  /// Does anything that was typed say how pixels become numbers?
  [[nodiscard]] bool has_recipe() const {
    return !recipe.empty() || !mean.empty() || !std.empty() || scale.has_value();
  }
  /// The recipe with what was typed over it, or over `written`: a recipe's name and what differs from it, as
  /// `imagenet short_side=256 layout=nhwc`. Error(unknown_name) for unknown words.
  [[nodiscard]] io::Preprocessing preprocessing(const std::string& written) const;
};

struct RunChoices {
  int threads = 0;
  std::int64_t batch_size = 0;  ///< 0: chosen so that a batch is at most 16 samples
  std::string precision_name = "exact";
  bool exact = false;

  /// Error(invalid_argument) where it contradicts --exact, Error(unknown_name) for unknown words.
  [[nodiscard]] Precision precision() const;
};

/// What programs are compiled with.
[[nodiscard]] CompileOptions compile_options(const ModelOptions& model, const RunChoices& choices);

void add_model_options(CLI::App& command, ModelOptions& options);
/// --dim and --output-node.
void add_shape_options(CLI::App& command, ModelOptions& options);
void add_plugin_option(CLI::App& command, ModelOptions& options);
void add_input_options(CLI::App& command, InputOptions& options);
void add_run_choices(CLI::App& command, RunChoices& choices);
void add_width_option(CLI::App& command, std::size_t& width);

/// The chosen width of tables; for 0 that of the terminal, or 160 where output goes to a file or a pipe.
[[nodiscard]] std::size_t text_width(std::size_t chosen);

}  // namespace rulegrad::cli
