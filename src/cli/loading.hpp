#pragma once

#include <span>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"

#include "cli/inputs.hpp"
#include "cli/options.hpp"

namespace rulegrad::cli {

/// Free axes of a model's inputs get the extents of --dim, or of what is given for them. `preprocessing` says
/// where pictures have their sides.
[[nodiscard]] Model load_model(const ModelOptions& options, std::span<const GivenInput> given = {},
                               const io::Preprocessing& preprocessing = {});

/// A model and the samples that were given for it.
struct Loaded {
  Model model;
  Samples samples;
};
[[nodiscard]] Loaded load(const ModelOptions& options, const InputOptions& input);

/// An output of the file that the model lacks, and why.
struct LeftOut {
  std::string output, reason;
};
/// What the notes of a model say about such outputs.
[[nodiscard]] std::vector<LeftOut> left_out(const Model& model);

/// Which of the model's outputs --output-node names: the first without it. Throws Error(unknown_name), and
/// Error(model) with the reason for one that was left out.
[[nodiscard]] std::size_t output_index(const ModelOptions& options, const Model& model);
/// Says, where none was named, which output is taken if there are several, and which could not be read.
void note_output(const ModelOptions& options, const Model& model);

/// How the model wants its pictures, where somebody has written it down: the metadata entry `preprocess`, or
/// the file MODEL.preprocess. In the words of InputOptions::preprocessing.
[[nodiscard]] std::string written_recipe(const ModelOptions& options, const Model& model);

/// A free axis of an input that is not the batch.
struct FreeAxis {
  std::string input, type;  ///< `float[batch, seq, 6]`
  std::size_t axis = 0;
  std::string key;  ///< what --dim calls it: `seq`, or `input.1` where the file has no name for it
};
[[nodiscard]] std::vector<FreeAxis> free_axes(const ModelSummary& summary);

}  // namespace rulegrad::cli
