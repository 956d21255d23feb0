#include "cli/session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "rulegrad/error.hpp"
#include "rulegrad/io/npy.hpp"

namespace rulegrad::cli {
namespace {

bool is_array(const std::string& file) { return std::filesystem::path(file).extension() == ".npy"; }

const ModelInput& only_input(const Model& model) {
  if (model.inputs().size() != 1)
    throw Error(ErrorCode::model, fmt::format("this model has {} inputs; the command takes models with one", model.inputs().size()));
  return model.inputs()[0];
}

/// A .npy array as a batch; one sample without its batch axis gets one.
Tensor read_array(const std::string& file, const ModelInput& input, DType dtype) {
  Tensor values = io::read_npy(file);
  const Shape& shape = input.expr.shape();
  if (values.rank() + 1 == shape.rank()) {
    Dims dims = values.dims();
    dims.insert(dims.begin(), 1);
    values = values.reshaped(std::move(dims));
  }
  const auto fits = [&] {
    if (values.rank() != shape.rank()) return false;
    for (std::size_t axis = 1; axis < shape.rank(); ++axis)
      if (!shape[axis].is(values.dims()[axis])) return false;
    return true;
  };
  if (!fits())
    throw Error(ErrorCode::shape, fmt::format("{} holds {}{} but the model's input '{}' is {} (B samples, each {})", file,
                                              name_of(values.dtype()), to_string(std::span(values.dims())), input.name,
                                              to_string(input.expr.type()), to_string(Shape(std::vector<Dim>(shape.dims().begin() + 1, shape.dims().end())))));
  if (is_floating(dtype) && values.dtype() == DType::boolean)
    throw Error(ErrorCode::dtype, fmt::format("{} holds boolean values but the model's input '{}' is {}", file, input.name, to_string(input.expr.type())));
  if (!is_floating(dtype) && is_floating(values.dtype()))
    throw Error(ErrorCode::dtype, fmt::format("{} holds {} values but the model's input '{}' is {}; save it as integers", file,
                                              name_of(values.dtype()), input.name, to_string(input.expr.type())));
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

}  // namespace

Model load_model(const ModelOptions& options) {
  const DType dtype = dtype_from_name(options.dtype);
  if (!is_floating(dtype))
    throw Error(ErrorCode::dtype, fmt::format("--dtype {}: networks compute in float32 or float64", options.dtype));
  LoadOptions load;
  load.dtype = dtype;
  load.allow_non_finite = options.allow_non_finite;
  if (!options.plugins.empty()) load.operators = &options.registry().operators;
  return load_onnx(options.path, load);
}

Samples load_samples(const InputOptions& options, const Model& model) {
  const ModelInput& input = only_input(model);
  Samples samples;
  samples.preprocessing = options.preprocessing();
  std::vector<Tensor> parts;
  for (const std::string& file : options.files) {
    const std::string stem = std::filesystem::path(file).stem().string();
    if (is_array(file)) {
      parts.push_back(read_array(file, input, input.expr.dtype()));
      const std::int64_t count = parts.back().dims()[0];
      for (std::int64_t i = 0; i < count; ++i) samples.names.push_back(count == 1 ? stem : fmt::format("{}_{}", stem, i));
      continue;
    }
    const Shape& shape = input.expr.shape();
    if (shape.rank() != 4)
      throw Error(ErrorCode::shape, fmt::format("{} is a picture, but the model's input '{}' is {}, which is not a batch of images; give a .npy array",
                                                file, input.name, to_string(input.expr.type())));
    const bool first = samples.preprocessing.layout == io::Layout::nchw;
    const std::int64_t channels = shape[first ? 1 : 3].factor, height = shape[first ? 2 : 1].factor, width = shape[first ? 3 : 2].factor;
    if (channels != 1 && channels != 3)
      throw Error(ErrorCode::shape, fmt::format("the model's input '{}' is {}: with --layout {} that is {} channels, and a picture has 1 or 3", input.name,
                                                to_string(input.expr.type()), first ? "nchw" : "nhwc", channels));
    const io::Picture picture = io::read_picture(file);
    parts.push_back(io::to_input(picture, samples.preprocessing, height, width, channels, input.expr.dtype()));
    samples.pictures.push_back(io::crop_for_overlay(picture, samples.preprocessing, height, width));
    samples.names.push_back(stem);
  }
  samples.values = concatenate(parts);
  if (samples.count() == 0) throw Error(ErrorCode::shape, "the input holds no samples");
  if (samples.pictures.size() != samples.names.size()) {
    // Arrays of images can be looked at too, as far as the recipe can be turned round.
    samples.pictures.clear();
    const Dims& dims = samples.values.dims();
    const bool first = samples.preprocessing.layout == io::Layout::nchw;
    const std::int64_t channels = dims.size() == 4 ? dims[first ? 1 : 3] : 0;
    if (channels == 1 || channels == 3)
      for (std::int64_t i = 0; i < samples.count(); ++i)
        samples.pictures.push_back(io::from_input(samples.values, samples.preprocessing, i));
  }
  return samples;
}

Tensor rows(const Tensor& batch, std::int64_t first, std::int64_t count) {
  Dims dims = batch.dims();
  const std::size_t row = batch.bytes() / static_cast<std::size_t>(dims[0]);
  dims[0] = count;
  Tensor result = Tensor::uninitialized(batch.dtype(), dims);
  std::memcpy(result.mutable_data(), batch.data() + static_cast<std::size_t>(first) * row, result.bytes());
  return result;
}

std::vector<std::string> read_labels(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::io, fmt::format("cannot read the labels '{}'; is the path right?", path));
  std::vector<std::string> labels;
  for (std::string line; std::getline(file, line);) labels.push_back(line);
  return labels;
}

std::string label_of(const std::vector<std::string>& labels, std::int64_t index) {
  return index < static_cast<std::int64_t>(labels.size()) ? labels[static_cast<std::size_t>(index)] : fmt::format("class {}", index);
}

std::int64_t batch_size_for(const RunChoices& choices, const Model& model, std::int64_t samples) {
  const std::int64_t wanted = choices.batch_size > 0 ? choices.batch_size : 16;
  // A model that was exported for one batch size and cannot be freed of it sees exactly that many samples at once.
  const Dim batch = model.inputs()[0].expr.shape()[0];
  return batch.batch ? std::min(wanted, samples) : batch.factor;
}

Progress::Progress(std::string what, std::int64_t total) : what_(std::move(what)), total_(total), shown_(isatty(2) != 0 && total > 1) {}

Progress::~Progress() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

void Progress::advance(std::int64_t count) {
  done_ += count;
  if (shown_) std::fprintf(stderr, "\r%s %lld / %lld", what_.c_str(), static_cast<long long>(done_), static_cast<long long>(total_));
}

}  // namespace rulegrad::cli
