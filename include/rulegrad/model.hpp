#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/expr.hpp"

namespace rulegrad {

struct ModelInput {
  std::string name;
  Expr expr;
};
struct ModelOutput {
  std::string name;
  Expr expr;
};

/// Where explanations start: at the score below a final softmax or sigmoid, or at the probability above it.
enum class HeadKind : std::uint8_t { logit, probability };

/// A network as a graph with named inputs and outputs.
class Model {
 public:
  Model(std::unique_ptr<Graph> graph, std::vector<ModelInput> inputs, std::vector<ModelOutput> outputs);

  [[nodiscard]] Graph& graph() const { return *graph_; }
  [[nodiscard]] const std::vector<ModelInput>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<ModelOutput>& outputs() const { return outputs_; }
  /// What is explained of the first output.
  [[nodiscard]] Expr head(HeadKind kind) const;

 private:
  std::unique_ptr<Graph> graph_;
  std::vector<ModelInput> inputs_;
  std::vector<ModelOutput> outputs_;
};

struct LoadOptions {
  /// Arithmetic runs in this dtype; weights and inputs of other floating dtypes are converted.
  DType dtype = DType::float32;
  /// Off: a weight that holds NaN or infinity is an Error(non_finite) that names tensor and index.
  bool allow_non_finite = false;
};

/// Reads an ONNX file, opset 7 to 18. Axis 0 of an input becomes the symbolic batch where it is free or 1 and the
/// model allows it. Every value keeps its ONNX name. Tensors from 1 MB on stay in the file, mapped.
/// Error(model): not ONNX, cut off, operators that cannot be mapped (all of them), shapes that do not fit.
[[nodiscard]] Model load_onnx(const std::string& path, const LoadOptions& options = {});

/// What a file says of itself, whether it can be loaded or not.
struct ModelSummary {
  struct Value {
    std::string name;
    std::string type;  ///< `float32[N, 3, 224, 224]`
  };
  std::string producer;
  std::int64_t opset = 0;
  std::vector<Value> inputs, outputs;
  std::map<std::string, int> operators;          ///< how often each stands in the graph
  std::map<std::string, std::vector<std::string>> unmapped;  ///< operator -> names of its nodes
  std::int64_t parameters = 0;
  std::int64_t parameter_bytes = 0;
};
[[nodiscard]] ModelSummary inspect_onnx(const std::string& path);

/// Writes a graph of dense, conv, pooling, activation and similar operators as ONNX, opset 13; equal graphs give equal
/// bytes. The file appears whole or not at all. Error(model) names an operator that has no ONNX form here.
void save_onnx(const std::string& path, std::span<const Expr> outputs);

}  // namespace rulegrad
