#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/onnx/file.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/op_attributes.hpp"
#include "rulegrad/operators.hpp"

namespace rulegrad::onnx_io {

/// A value of the model: an expression, and, for the small integers that shapes are computed with, what they are
/// in terms of the batch.
struct Value {
  Expr expr;
  std::optional<std::vector<Dim>> dims;
  bool rank0 = false;  ///< `dims` is one number without an axis
};

class Importer;

/// One node during import: its operands and attributes with ONNX's defaults.
class NodeReader {
 public:
  NodeReader(Importer& importer, const onnx::NodeProto& node) : importer_(importer), node_(node) {}

  [[nodiscard]] const onnx::NodeProto& proto() const { return node_; }
  [[nodiscard]] std::int64_t opset() const;
  [[nodiscard]] Graph& graph() const;

  [[nodiscard]] std::size_t operands() const { return static_cast<std::size_t>(node_.input_size()); }
  [[nodiscard]] bool has(std::size_t operand) const { return operand < operands() && !node_.input(static_cast<int>(operand)).empty(); }
  [[nodiscard]] const Value& value(std::size_t operand) const;
  [[nodiscard]] Expr expr(std::size_t operand) const;
  /// The numbers of a constant operand.
  [[nodiscard]] Ints ints(std::size_t operand) const;
  [[nodiscard]] std::vector<double> numbers(std::size_t operand) const;
  /// Integers that may hold the batch.
  [[nodiscard]] std::vector<Dim> dims(std::size_t operand) const;
  /// Is the operand's value needed by nothing else?
  [[nodiscard]] bool only_use(std::size_t operand) const;

  [[nodiscard]] bool has_attribute(const char* name) const { return find(name) != nullptr; }
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t fallback) const;
  [[nodiscard]] double number(const char* name, double fallback) const;
  [[nodiscard]] std::string word(const char* name, const char* fallback) const;
  [[nodiscard]] Ints list(const char* name) const;
  [[nodiscard]] const onnx::AttributeProto* find(const char* name) const;

  void result(Expr expr, int output = 0) const;
  void result(Value value, int output = 0) const;
  Expr apply(const char* op_name, std::vector<Expr> operands, Attributes attributes = {}) const;

  [[nodiscard]] const Importer& importer() const { return importer_; }

 private:
  Importer& importer_;
  const onnx::NodeProto& node_;
};

using Converter = std::function<void(const NodeReader&)>;
using Converters = std::map<std::string, Converter, std::less<>>;

/// What every ONNX operator becomes. One table a family.
void add_nn_converters(Converters& table);
void add_math_converters(Converters& table);
void add_shape_converters(Converters& table);
[[nodiscard]] const Converters& converters();

/// Builds the graph of one file.
class Importer {
 public:
  Importer(const File& file, const LoadOptions& options, bool free_batch);
  [[nodiscard]] Model run();

  [[nodiscard]] const File& file() const { return file_; }
  [[nodiscard]] std::int64_t opset() const { return opset_; }
  [[nodiscard]] DType real() const { return options_.dtype; }
  [[nodiscard]] bool free_batch() const { return free_batch_; }

 private:
  friend class NodeReader;
  void read_initializers();
  void read_inputs(std::vector<ModelInput>& inputs);
  void convert(const onnx::NodeProto& node);
  [[nodiscard]] Expr folded(Expr expr) const;

  const File& file_;
  LoadOptions options_;
  bool free_batch_;
  std::int64_t opset_;
  std::unique_ptr<Graph> graph_;
  std::unordered_map<std::string, Value> values_;
  std::unordered_map<std::string, int> uses_;
};

/// The tensor behind a constant expression, or null.
[[nodiscard]] const Tensor* constant_of(Expr expr);
[[nodiscard]] bool all_zero(Expr expr);

}  // namespace rulegrad::onnx_io
