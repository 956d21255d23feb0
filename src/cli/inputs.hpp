#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "cli/options.hpp"

/// What the person shows the network: files, which input each is for, and the samples that they make
/// together.
namespace rulegrad::cli {

/// One file behind --input, not yet fitted to a model. Pictures are read when the model is known to take
/// them.
struct GivenInput {
  std::string name;  ///< of the model's input; empty: the only one
  std::string file;  ///< as messages call it
  bool is_picture = false;
  Tensor values;
};

/// What --input says: `NAME=FILE`, or FILE alone, whose name is empty, unless there is a file of the whole
/// name.
[[nodiscard]] std::pair<std::string, std::string> name_and_file(const std::string& text);
/// Has the input an axis for samples, in front of all others?
[[nodiscard]] bool holds_batch(const ModelInput& input);
/// The names of the model's inputs, for messages.
[[nodiscard]] std::string names_of(const Model& model);
/// Does a name fit an input? Throws Error that says what does: several inputs need one each.
void check_input_name(const Model& model, const GivenInput& one);
/// Brings an array to the shape and dtype of an input that every sample shares.
[[nodiscard]] Tensor fitted_shared(const GivenInput& given, const ModelInput& input);
/// Is the input needed for that output?
[[nodiscard]] bool is_needed(const Model& model, const ModelInput& input, std::size_t output);
/// What is said where such an input is missing.
[[noreturn]] void throw_missing(const ModelInput& input);

/// Reads all files. An archive gives each of its arrays to the input of the array's name.
[[nodiscard]] std::vector<GivenInput> read_inputs(const InputOptions& options);

struct Samples {
  Inputs inputs;  ///< of each input the whole batch
  std::int64_t samples = 0;
  std::vector<io::Picture>
      pictures;                    ///< what the model sees, one a sample; empty for arrays that are no images
  std::vector<std::string> names;  ///< one a sample: file stems, or file stem and index
  io::Preprocessing preprocessing;

  [[nodiscard]] std::int64_t count() const { return samples; }
  /// The inputs of samples [first, first + count); what holds no batch is the same for all.
  [[nodiscard]] Inputs part(const Model& model, std::int64_t first, std::int64_t count) const;
  /// Of a model with one input. Throws Error(model) for others, which names what cannot do with several.
  [[nodiscard]] const Tensor& only(const Model& model, const std::string& what) const;
};

/// Brings what was given to the shapes and dtypes of the model's inputs. Throws Error where an input that the
/// output needs is missing, and where samples do not go together.
[[nodiscard]] Samples fit_samples(const InputOptions& options, const ModelOptions& how, const Model& model,
                                  std::span<const GivenInput> given);

/// What is asked where a model does not say how it wants its pictures.
[[nodiscard]] std::string missing_recipe(const ModelOptions& how);

/// Arrays of images as pictures, as far as the recipe can be turned round; none for what is no image.
[[nodiscard]] std::vector<io::Picture> pictures_of(const Tensor& values,
                                                   const io::Preprocessing& preprocessing);

}  // namespace rulegrad::cli
