#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/below.hpp"
#include "onnx/graph_value.hpp"
#include "onnx/model_file.hpp"
#include "onnx/random_calls.hpp"
#include "onnx/specials.hpp"
#include "onnx/tensor_reader.hpp"

namespace rulegrad::io {

/// Weights that were read once for all attempts to import a model.
using Weights = std::map<std::string, Tensor, std::less<>>;

/// The free axis that would be the batch is something else. Reading the model as declared, with an extent of
/// 1, would answer another question than the user's.
struct NoBatch : Error {
  using Error::Error;
};
/// A node reads what is left out: the reason is told as it is, for chains of such nodes are long.
struct LeftOut : Error {
  using Error::Error;
};
class NodeContext;

/// The file says no extent.
[[nodiscard]] inline bool is_free(const onnx::TensorShapeProto_Dimension& dim) {
  return !dim.has_dim_value() || dim.dim_value() < 0;
}

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
  /// How many samples the file speaks of where its inputs have the batch in front now.
  [[nodiscard]] std::int64_t samples_in_file() const { return samples_in_file_; }
  /// One sample's part of a constant that is the same for all samples of the file along the axis; nothing if
  /// it is not.
  [[nodiscard]] std::optional<Expr> same_for_all(Expr constant, std::size_t axis);
  [[nodiscard]] bool has_batch() const;
  /// For a node that goes step by step along the axis that would be the batch: Error that says what to do.
  [[noreturn]] void fail_steps(const std::string& what) const;
  [[nodiscard]] std::int64_t opset() const { return opset_; }
  [[nodiscard]] DType real() const { return options_.dtype; }
  [[nodiscard]] Graph& graph() { return *graph_; }
  [[nodiscard]] Model::Parts take();

  /// The node; its value, if all it needs are constants of moderate size.
  Expr apply(std::string_view op_name, std::vector<Expr> operands, Attributes attributes = {});
  /// Counts bytes that are computed while the model is read; Error(model) that says `what` when a model of
  /// this size should not need so many.
  void spend(std::int64_t bytes, const char* what);
  /// True if no input of the graph is needed.
  [[nodiscard]] bool is_static(Expr expr) { return !varies_.of(expr); }
  /// True if it needs to know which sample of its batch it belongs to, but for random numbers, which a sample has of
  /// its own.
  [[nodiscard]] bool depends_on_place(Expr expr) { return placed_.of(expr); }
  /// An expression for the symbols: B is the sum of ones over the batch.
  Expr materialize(const Symbolic& symbols);
  /// The value as an array; Error if it is a sequence.
  [[nodiscard]] Expr expression(const Value& value);
  /// What a body of control flow gives for these values of its inputs. It sees the values of the graph around
  /// it; its own get names that begin with `prefix` and a dot.
  std::vector<Value> run_body(const onnx::GraphProto& body, std::vector<Value> arguments,
                              const std::string& prefix);
  /// The name that a value of the file gets in the graph.
  [[nodiscard]] std::string label(const std::string& name) const { return prefix_ + name; }
  [[nodiscard]] Tensor read(const onnx::TensorProto& tensor, const std::string& name) {
    return reader_.read(tensor, name);
  }
  /// A tensor of the file as a constant; what it holds beside numbers is followed to where it ends.
  [[nodiscard]] Expr constant(const onnx::TensorProto& tensor, const std::string& name);
  /// The element type of a value as the file declares it; where it does not, what `otherwise` is in ONNX.
  [[nodiscard]] int declared_element(const std::string& name, DType otherwise);
  /// Where values that are no numbers may arise.
  [[nodiscard]] SpecialValues& specials() { return specials_; }
  /// Throws Error(non_finite) if NaN or infinity of a weight can reach an output; notes in the graph that
  /// others need not be looked through again.
  void require_finite(const Model::Parts& parts);

  [[nodiscard]] const Value& value(const std::string& name) const;
  void define(const std::string& name, Value value);
  /// How many nodes and outputs read the value.
  [[nodiscard]] int uses(const std::string& name) const;
  /// Throws where a model of this size should not need so many operations.
  void require_room() const;

 private:
  struct Leading;
  [[nodiscard]] Leading decide_batch() const;
  [[nodiscard]] Type input_type(const onnx::ValueInfoProto& input, const Leading& leading) const;
  void add_inputs();
  void add_node(const onnx::NodeProto& node);
  void add_module_names();
  void map_other(NodeContext& context, const onnx::NodeProto& node);
  [[nodiscard]] bool is_defined(const std::string& name) const;
  Expr folded(Expr expr);
  void count_uses(const onnx::GraphProto& graph);
  const std::map<std::string, Expr>& weights_of(const onnx::GraphProto& body);

  const ModelFile& file_;
  const LoadOptions& options_;
  TensorReader& reader_;
  const Weights& weights_;
  bool symbolic_, promoted_ = false;
  std::string batch_name_;               ///< of the free axis that is the batch
  std::int64_t spent_ = 0, budget_ = 0;  ///< bytes of constants that were computed, and that may be
  std::size_t most_nodes_ = 0;           ///< of the graph
  mutable int misses_ = 0;               ///< names that were looked for in vain
  std::int64_t samples_in_file_ = 1;
  void unrepeat(std::vector<Expr>& operands);
  [[nodiscard]] static bool draws_numbers(Expr node);
  [[nodiscard]] bool add_random(const NodeContext& context, const onnx::NodeProto& node);
  /// The nodes of a body that its results need.
  [[nodiscard]] const std::unordered_set<const onnx::NodeProto*>& needed_of(const onnx::GraphProto& body);
  std::int64_t opset_;
  std::unique_ptr<Graph> graph_;
  std::vector<ModelInput> inputs_;
  using Scope = std::unordered_map<std::string, Value>;
  std::deque<Scope> scopes_{
      1};  ///< the graph, and the bodies of control flow that are being written out, the innermost last
  std::string prefix_;
  std::map<const onnx::GraphProto*, std::map<std::string, Expr>> body_weights_;
  RandomCalls random_;
  std::map<const onnx::GraphProto*, std::unordered_set<const onnx::NodeProto*>> body_needs_;
  std::unordered_map<std::string_view, int> uses_;  ///< by names in the file
  std::unordered_map<std::string, int> declared_;   ///< element types by value, once somebody asks
  SomewhereBelow varies_{[](Expr node) { return is_input(node) || node.shape().has_batch(); }};
  SomewhereBelow placed_{[](Expr node) { return node.is("batch_index"); }, draws_numbers};
  SpecialValues specials_;
  /// Weights that are not finite, and what was computed from them: what to say about them.
  std::unordered_map<const Node*, std::string> not_finite_;
};

}  // namespace rulegrad::io
