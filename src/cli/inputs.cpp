#include "cli/inputs.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/loading.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

std::string extension_of(const std::string& file) {
  return fs::path(file).extension().string();
}

bool any_batch(const Model& model) {
  return std::any_of(model.inputs().begin(), model.inputs().end(),
                     [](const ModelInput& input) { return holds_batch(input); });
}

/// A .npy array as a batch; one sample without its batch axis gets one. What every sample shares is given as
/// it is.
Tensor fitted(const GivenInput& given, const ModelInput& input, bool shared) {
  Tensor values = given.values;
  const Shape& shape = input.expr.shape();
  if (!shared && values.rank() + 1 == shape.rank()) {
    Dims dims = values.dims();
    dims.insert(dims.begin(), shape[0].factor);
    if (shape[0].factor == 1) values = values.reshaped(std::move(dims));
  }
  const auto fits = [&] {
    if (values.rank() != shape.rank()) return false;
    for (std::size_t axis = 0; axis < shape.rank(); ++axis)
      if ((shared || axis > 0) && !shape[axis].is(values.dims()[axis])) return false;
    return shared || (shape.rank() > 0 && values.dims()[0] % std::max<std::int64_t>(shape[0].factor, 1) == 0);
  };
  if (!fits())
    throw Error(
        ErrorCode::shape,
        shared
            ? fmt::format("{} holds {}{} but the model's input '{}' is {}", given.file,
                          name_of(values.dtype()), to_string(values.dims()), input.name,
                          to_string(input.expr.type()))
            : fmt::format(
                  "{} holds {}{} but the model's input '{}' is {} (B samples, each {})", given.file,
                  name_of(values.dtype()), to_string(values.dims()), input.name, to_string(input.expr.type()),
                  shape.rank() == 0
                      ? "[]"
                      : to_string(Shape(std::vector<Dim>(shape.dims().begin() + 1, shape.dims().end())))));
  const DType dtype = input.expr.dtype();
  if (is_floating(dtype) && values.dtype() == DType::boolean)
    throw Error(ErrorCode::dtype, fmt::format("{} holds boolean values but the model's input '{}' is {}",
                                              given.file, input.name, to_string(input.expr.type())));
  if (!is_floating(dtype) && is_floating(values.dtype()))
    throw Error(ErrorCode::dtype,
                fmt::format("{} holds {} values but the model's input '{}' is {}; save it as integers",
                            given.file, name_of(values.dtype()), input.name, to_string(input.expr.type())));
  return values.cast(dtype);
}

Tensor concatenate(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts[0];
  Dims dims = parts[0].dims();
  dims[0] = 0;
  for (const Tensor& part : parts) dims[0] += part.dims()[0];
  Tensor result = Tensor::uninitialized(parts[0].dtype(), dims);
  std::byte* to = result.mutable_data();
  for (const Tensor& part : parts) {
    std::memcpy(to, part.data(), part.bytes());
    to += part.bytes();
  }
  return result;
}

class Fitting {
 public:
  Fitting(const InputOptions& options, const ModelOptions& how, const Model& model,
          std::span<const GivenInput> given)
      : model_(model), given_(given), output_(output_index(how, model)), symbolic_(any_batch(model)) {
    samples_.preprocessing = options.preprocessing(written_recipe(how, model));
    has_recipe_ = options.has_recipe() || !written_recipe(how, model).empty();
    missing_recipe_ = missing_recipe(how);
  }

  Samples run() {
    std::unordered_set<std::string_view> known;
    for (const ModelInput& input : model_.inputs()) known.insert(input.name);
    for (const GivenInput& one : given_) {
      if (!known.contains(one.name)) check_input_name(model_, one);
      by_name_[one.name].push_back(&one);
    }
    for (const ModelInput& input : model_.inputs()) add(input);
    for (const ModelInput& input : model_.inputs()) require(input);
    if (counted_.empty()) samples_.samples = 1;
    if (samples_.samples == 0) throw Error(ErrorCode::shape, "the input holds no samples");
    if (const std::int64_t at_once = fixed_batch(model_); at_once > 0 && samples_.samples % at_once != 0)
      throw Error(ErrorCode::shape,
                  fmt::format("the model takes {} samples at once, which {} is no multiple of", at_once,
                              samples_.samples));
    while (static_cast<std::int64_t>(samples_.names.size()) < samples_.samples)
      samples_.names.push_back(fmt::format("sample_{}", samples_.names.size()));
    return std::move(samples_);
  }

 private:
  void add(const ModelInput& input) {
    const auto named = by_name_.find(input.name), unnamed = by_name_.find("");
    std::vector<const GivenInput*> files;
    for (const auto found : {named, unnamed})
      if (found != by_name_.end()) files.insert(files.end(), found->second.begin(), found->second.end());
    if (files.empty()) return;
    std::sort(files.begin(), files.end());  // in the order in which they were given
    const bool shared = input.expr.shape().rank() == 0 || (symbolic_ && !holds_batch(input));
    if (shared && files.size() > 1)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--input {} is given {} times, but the model's input is {} for all samples",
                              input.name, files.size(), to_string(input.expr.type())));
    std::vector<Tensor> parts;
    std::vector<std::string> names;
    std::vector<io::Picture> pictures;
    for (const GivenInput* file : files) {
      const std::string stem = fs::path(file->file).stem().string();
      if (file->is_picture) {
        parts.push_back(from_picture(*file, input));
        pictures.push_back(io::crop_for_overlay(picture_, samples_.preprocessing, height_, width_));
        names.push_back(stem);
        continue;
      }
      parts.push_back(fitted(*file, input, shared));
      const std::int64_t count =
          shared ? 0
                 : parts.back().dims()[0] /
                       std::max<std::int64_t>(symbolic_ ? input.expr.shape()[0].factor : 1, 1);
      for (std::int64_t i = 0; i < count; ++i)
        names.push_back(count == 1 ? stem : fmt::format("{}_{}", stem, i));
    }
    Tensor& values = samples_.inputs[input.name] = concatenate(parts);
    if (shared) return;
    count(input.name, static_cast<std::int64_t>(names.size()));
    if (samples_.names.empty()) samples_.names = std::move(names);
    if (samples_.pictures.empty())
      samples_.pictures =
          pictures.size() == parts.size() ? std::move(pictures) : pictures_of(values, samples_.preprocessing);
  }

  void count(const std::string& name, std::int64_t samples) {
    if (!counted_.empty() && samples != samples_.samples)
      throw Error(ErrorCode::shape,
                  fmt::format("'{}' holds {} samples but '{}' holds {}; inputs go together sample by sample",
                              counted_, samples_.samples, name, samples));
    if (counted_.empty()) counted_ = name;
    samples_.samples = samples;
  }

  Tensor from_picture(const GivenInput& given, const ModelInput& input) {
    const Shape& shape = input.expr.shape();
    if (shape.rank() != 4)
      throw Error(ErrorCode::shape, fmt::format("{} is a picture, but the model's input '{}' is {}, which is "
                                                "not a batch of images; give a .npy array",
                                                given.file, input.name, to_string(input.expr.type())));
    const bool first = samples_.preprocessing.layout == io::Layout::nchw;
    const std::int64_t channels = shape[first ? 1 : 3].factor;
    height_ = shape[first ? 2 : 1].factor;
    width_ = shape[first ? 3 : 2].factor;
    if (channels != 1 && channels != 3)
      throw Error(
          ErrorCode::shape,
          fmt::format(
              "the model's input '{}' is {}: with --layout {} that is {} channels, and a picture has 1 or 3",
              input.name, to_string(input.expr.type()), first ? "nchw" : "nhwc", channels));
    if (!has_recipe_) throw Error(ErrorCode::invalid_argument, missing_recipe_);
    picture_ = io::read_picture(given.file);
    return io::to_input(picture_, samples_.preprocessing, height_, width_, channels, input.expr.dtype());
  }

  void require(const ModelInput& input) const {
    if (samples_.inputs.contains(input.name)) return;
    if (is_needed(model_, input, output_)) throw_missing(input);
  }

  const Model& model_;
  std::span<const GivenInput> given_;
  std::unordered_map<std::string_view, std::vector<const GivenInput*>> by_name_;
  std::size_t output_;
  bool symbolic_, has_recipe_ = false;
  std::string counted_, missing_recipe_;
  std::int64_t height_ = 0, width_ = 0;
  io::Picture picture_;  ///< the last one
  Samples samples_;
};

}  // namespace

bool holds_batch(const ModelInput& input) {
  return input.expr.shape().rank() > 0 && input.expr.shape()[0].batch;
}

std::pair<std::string, std::string> name_and_file(const std::string& text) {
  const std::size_t equals = text.find('=');
  std::error_code none;
  if (equals == std::string::npos || fs::exists(text, none)) return {"", text};
  if (equals == 0 || equals + 1 == text.size())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--input '{}': write NAME=FILE, or FILE for a model with one input", text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string names_of(const Model& model) {
  std::vector<std::string> names;
  for (const ModelInput& input : model.inputs()) names.push_back("'" + input.name + "'");
  return join(names);
}

void check_input_name(const Model& model, const GivenInput& one) {
  if (one.name.empty()) {
    if (model.inputs().size() != 1)
      throw Error(ErrorCode::model,
                  fmt::format("this model has {} inputs ({}); say which one {} is for, as in --input {}={}",
                              model.inputs().size(), names_of(model), one.file,
                              model.inputs().empty() ? "NAME" : model.inputs()[0].name, one.file));
    return;
  }
  std::vector<std::string> known;
  for (const ModelInput& input : model.inputs()) known.push_back(input.name);
  if (std::find(known.begin(), known.end(), one.name) == known.end())
    throw Error(ErrorCode::unknown_name, "--input: " + unknown_name_message("input", one.name, known));
}

Tensor fitted_shared(const GivenInput& given, const ModelInput& input) {
  return fitted(given, input, true);
}

bool is_needed(const Model& model, const ModelInput& input, std::size_t output) {
  const Expr y = model.outputs()[output].expr;
  const std::vector<Expr> needed = topological_order(std::span(&y, 1));
  return std::find(needed.begin(), needed.end(), input.expr) != needed.end();
}

void throw_missing(const ModelInput& input) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("the model's input '{}' {} is missing; give it with --input {}=FILE", input.name,
                          to_string(input.expr.type()), input.name));
}

std::string missing_recipe(const ModelOptions& how) {
  return fmt::format(
      "how does the model want its pictures? Say it with --preprocess {} (or --scale, --mean and --std); "
      "once for all "
      "in the model's metadata entry 'preprocess', or in a file {}.preprocess",
      join(io::preprocessing_names(), "|"), how.path);
}

std::vector<io::Picture> pictures_of(const Tensor& values, const io::Preprocessing& preprocessing) {
  std::vector<io::Picture> pictures;
  const Dims& dims = values.dims();
  if (dims.size() != 4 || !is_floating(values.dtype())) return pictures;
  const std::int64_t channels = dims[preprocessing.layout == io::Layout::nchw ? 1 : 3];
  if (channels == 1 || channels == 3)
    for (std::int64_t i = 0; i < dims[0]; ++i) pictures.push_back(io::from_input(values, preprocessing, i));
  return pictures;
}

std::vector<GivenInput> read_inputs(const InputOptions& options) {
  std::vector<GivenInput> result;
  for (const std::string& text : options.files) {
    const auto [name, file] = name_and_file(text);
    const std::string extension = extension_of(file);
    if (extension == ".npz") {
      if (!name.empty())
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("--input '{}': an archive holds the arrays of several inputs by their names; "
                                "give it as --input {}",
                                text, file));
      for (auto& [key, array] : io::read_npz(file))
        result.push_back({key, fmt::format("{}/{}", file, key), false, std::move(array)});
    } else if (extension == ".npy") {
      result.push_back({name, file, false, io::read_npy(file)});
    } else {
      result.push_back({name, file, true, {}});
    }
  }
  return result;
}

Samples fit_samples(const InputOptions& options, const ModelOptions& how, const Model& model,
                    std::span<const GivenInput> given) {
  return Fitting(options, how, model, given).run();
}

Inputs Samples::part(const Model& model, std::int64_t first, std::int64_t count) const {
  return samples_of(model, inputs, first, count);
}

const Tensor& Samples::only(const Model& model, const std::string& what) const {
  if (model.inputs().size() != 1)
    throw Error(ErrorCode::model, fmt::format("this model has {} inputs ({}); {} takes models with one",
                                              model.inputs().size(), names_of(model), what));
  return inputs.at(model.inputs()[0].name);
}

}  // namespace rulegrad::cli
