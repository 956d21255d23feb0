#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/support/error.hpp"

/// The real models of the shared data, and what they are asked.
namespace rulegrad::testing {

/// Models that are refused as they are, and what the refusal must name.
inline const std::map<std::string, std::string> refused_models{{"silero_vad_16k_op15.onnx", "sequence"}};

/// Free axes other than the batch need an extent.
inline LoadOptions load_options_of(const std::filesystem::path& file) {
  LoadOptions load;
  if (file.filename() == "stories260k.onnx" || file.filename() == "silero_vad_sequence.onnx")
    load.extents = {{"T", 8}};
  return load;
}

inline std::vector<std::filesystem::path> models_of(const std::filesystem::path& data) {
  std::vector<std::filesystem::path> models;
  for (const char* folder :
       {"imagenet", "mnist", "fashion_mnist", "cifar10", "faces", "audio", "tabular", "text", "onnx_light"})
    for (const auto& entry : std::filesystem::directory_iterator(data / folder))
      if (entry.path().extension() == ".onnx") models.push_back(entry.path());
  std::sort(models.begin(), models.end());
  return models;
}

/// Values between 0 and 1, or token numbers, in the shape of the model's input with its free axes set to
/// small extents.
inline Tensor values_for(const ModelInput& input, std::int64_t batch = 2) {
  Tensor x(input.expr.dtype(), input.expr.shape().at({.batch = batch}));
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double wave = 0.5 + 0.5 * std::sin(0.7 * static_cast<double>(i));
    if (x.dtype() == DType::int64)
      x.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = 1 + i % 7;
    else
      x.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(wave);
  }
  return x;
}

/// What can be explained: the input, or, where that holds token numbers, the vectors looked up for them.
inline Expr explained_of(const Model& model, Expr output) {
  const Expr input = model.inputs()[0].expr;
  if (is_floating(input.dtype())) return input;
  for (const Expr node : topological_order(std::span(&output, 1)))
    if (node.is("gather") && is_floating(node.dtype()) && node.operand(1) == input) return node;
  throw Error(ErrorCode::internal, "no node looks the tokens up");
}

}  // namespace rulegrad::testing
