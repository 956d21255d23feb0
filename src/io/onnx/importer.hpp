#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr.hpp"
#include "rulegrad/op_attributes.hpp"

#include "io/onnx/model_file.hpp"
#include "io/onnx/specials.hpp"
#include "io/onnx/tensor_reader.hpp"
#include "io/onnx/value.hpp"

namespace rulegrad::io {

/// Weights that were read once for all attempts to import a model.
using Weights = std::map<std::string, Tensor, std::less<>>;

/// Builds the graph of one model under one decision about the batch.
class Importer {
 public:
  /// `symbolic`: the batch is B; otherwise as declared.
  Importer(const ModelFile& file, const LoadOptions& options, TensorReader& reader, const Weights& weights,
           bool symbolic);

  /// Throws Error(model) that names the node.
  void run();

  /// True if an input whose first extent is 1 in the file has the batch there now. What is done to such a
  /// batch must be what would be done to each sample alone.
  [[nodiscard]] bool promoted() const { return promoted_; }
  [[nodiscard]] bool has_batch() const;
  [[nodiscard]] std::int64_t opset() const { return opset_; }
  [[nodiscard]] DType real() const { return options_.dtype; }
  [[nodiscard]] Graph& graph() { return *graph_; }
  [[nodiscard]] Model::Parts take();

  /// The node; its value, if all it needs are constants of moderate size.
  Expr apply(std::string_view op_name, std::vector<Expr> operands, Attributes attributes = {});
  /// True if no input of the graph is needed.
  [[nodiscard]] bool is_static(Expr expr);
  /// An expression for the symbols: B is the sum of ones over the batch.
  Expr materialize(const Symbolic& symbols);
  [[nodiscard]] Tensor read(const onnx::TensorProto& tensor, const std::string& name) {
    return reader_.read(tensor, name);
  }
  /// A tensor of the file as a constant; what it holds beside numbers is followed to where it ends.
  [[nodiscard]] Expr constant(const onnx::TensorProto& tensor, const std::string& name);
  /// The element type of a value as the file declares it; where it does not, what `otherwise` is in ONNX.
  [[nodiscard]] int declared_element(const std::string& name, DType otherwise) const;
  /// Where values that are no numbers may arise.
  [[nodiscard]] SpecialValues& specials() { return specials_; }
  /// Throws Error(non_finite) if NaN or infinity of a weight can reach an output; notes in the graph that others need not be looked
  /// through again.
  void require_finite(const Model::Parts& parts);

  [[nodiscard]] const Value& value(const std::string& name) const;
  void define(const std::string& name, Value value);
  /// How many nodes and outputs read the value.
  [[nodiscard]] int uses(const std::string& name) const;

 private:
  struct Leading;
  [[nodiscard]] Leading decide_batch() const;
  [[nodiscard]] Type input_type(const onnx::ValueInfoProto& input, const Leading& leading) const;
  void add_inputs();
  void add_node(const onnx::NodeProto& node);
  Expr folded(Expr expr);

  const ModelFile& file_;
  const LoadOptions& options_;
  TensorReader& reader_;
  const Weights& weights_;
  bool symbolic_, promoted_ = false;
  std::int64_t opset_;
  std::unique_ptr<Graph> graph_;
  std::vector<ModelInput> inputs_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, int, std::less<>> uses_;
  std::unordered_map<const Node*, bool> static_;
  SpecialValues specials_;
  /// Weights that are not finite, and what was computed from them: what to say about them.
  std::unordered_map<const Node*, std::string> not_finite_;
};

}  // namespace rulegrad::io
