#pragma once

#include <fmt/format.h>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/proto.hpp"

namespace rulegrad::io {

/// The operator sets that can be written; the least one that the operators need, unless one is asked for.
inline constexpr std::int64_t least_opset = 13, latest_opset = 23;

/// Smaller arrays stay in the model's own file.
inline constexpr std::size_t least_external = 1024;

[[nodiscard]] int onnx_type(DType dtype);

/// One list behind the other, as ONNX has pads: those in front of all axes, then those behind.
[[nodiscard]] inline Ints joined(const Ints& begin, const Ints& end) {
  Ints all(begin);
  all.insert(all.end(), end.begin(), end.end());
  return all;
}

/// An array that stands for an operator: one number everywhere. Error(invalid_argument) where a program may not take as
/// much memory (memory_limit).
[[nodiscard]] Tensor filled(DType dtype, Dims dims, double value);
[[nodiscard]] inline Tensor zeros(DType dtype, Dims dims) {
  return filled(dtype, std::move(dims), 0);
}

/// The extents behind samples and channels.
[[nodiscard]] inline Ints spatial_of(const Shape& shape) {
  Ints extents;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis) extents.push_back(shape[axis].factor);
  return extents;
}

class Writer;
class KnownWeights;

/// A node while it is written.
class NodeWriter {
 public:
  NodeWriter(Writer& writer, onnx::NodeProto& node) : writer_(writer), node_(node) {}

  NodeWriter& set(const char* name, const Ints& values) {
    auto& attribute = add(name, onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) attribute.add_ints(value);
    return *this;
  }
  NodeWriter& set(const char* name, std::int64_t value) {
    add(name, onnx::AttributeProto::INT).set_i(value);
    return *this;
  }
  NodeWriter& set(const char* name, double value) {
    add(name, onnx::AttributeProto::FLOAT).set_f(static_cast<float>(value));
    return *this;
  }
  NodeWriter& set(const char* name, const std::string& value) {
    add(name, onnx::AttributeProto::STRING).set_s(value);
    return *this;
  }
  NodeWriter& set(const char* name, onnx::GraphProto&& value) {
    *add(name, onnx::AttributeProto::GRAPH).mutable_g() = std::move(value);
    return *this;
  }
  /// One more result.
  NodeWriter& output(const std::string& name) {
    node_.add_output(name);
    return *this;
  }
  /// What readers may know the node by.
  NodeWriter& mark(const std::string& text) {
    node_.set_doc_string(text);
    return *this;
  }
  NodeWriter& domain(const char* name) {
    node_.set_domain(name);
    return *this;
  }
  /// A constant that only this node reads.
  NodeWriter& input(const char* suffix, const Tensor& value);
  NodeWriter& input(const char* suffix, const Ints& values) {
    return input(suffix,
                 Tensor({static_cast<std::int64_t>(values.size())}, std::span<const std::int64_t>(values)));
  }

 private:
  onnx::AttributeProto& add(const char* name, onnx::AttributeProto::AttributeType type) {
    auto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }
  Writer& writer_;
  onnx::NodeProto& node_;
};

/// The domain of operators that are not ONNX's.
inline constexpr const char* custom_domain = "rulegrad";
/// Operators that a program added are written in that domain, with their attributes.
[[nodiscard]] bool is_custom(const OpSchema& op);
void write_custom(Writer& writer, Expr expr);

/// How an operator is written.
using Form = std::function<void(Writer&, Expr)>;
using Forms = std::map<std::string, Form, std::less<>>;
[[nodiscard]] const Forms& forms();
/// Those of functions that are read and written by one row (rows.hpp).
void add_rows(Forms& forms);
/// Those of the other operators, by what they are about (write_*.cpp).
void add_arithmetic_forms(Forms& forms);
void add_window_forms(Forms& forms);
void add_resize_forms(Forms& forms);
void add_movement_forms(Forms& forms);
void add_index_forms(Forms& forms);
void add_norm_forms(Forms& forms);
void add_random_forms(Forms& forms);
void add_loop_forms(Forms& forms);
/// Takes away nodes, constants and shapes that no output of the graph needs.
void drop_unused(onnx::GraphProto& graph);
/// Why an operator has no form.
[[nodiscard]] std::string why_unwritten(const OpSchema& op);

/// Turns expressions into a model.
class Writer {
 public:
  /// `location` is the name of the file beside the model.
  Writer(std::span<const Expr> outputs, const SaveOptions& options, std::int64_t opset, std::string location,
         const KnownWeights* known)
      : outputs_(outputs),
        options_(options),
        graph_(model_.mutable_graph()),
        known_(known),
        opset_(opset),
        location_(std::move(location)) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// The operator set that is written.
  [[nodiscard]] std::int64_t opset() const { return opset_; }
  /// What is written needs at least that operator set.
  void need(Expr expr, std::int64_t opset) {
    if (opset <= needed_) return;
    needed_ = opset;
    needs_it_ = describe(expr);
  }
  [[nodiscard]] std::int64_t needed() const { return needed_; }
  [[nodiscard]] const std::string& needs_it() const { return needs_it_; }

  /// The name, or one like it that no value of the file has yet: those of the network are its own, and may look like
  /// what stands between (`dense` and its weight `dense.weight`, names of a file that was written before).
  [[nodiscard]] std::string unused(std::string name);
  /// The name of a constant, which is stored once.
  [[nodiscard]] std::string shared(const Tensor& value);
  [[nodiscard]] std::string ints(const Ints& values) {
    return shared(Tensor({static_cast<std::int64_t>(values.size())}, std::span<const std::int64_t>(values)));
  }
  [[nodiscard]] std::string number(double value, DType dtype) { return shared(Tensor::scalar(dtype, value)); }
  /// The name of a list of extents: a constant, or made from the batch of an input.
  [[nodiscard]] std::string extents(Expr user, const Shape& shape);

  onnx::ModelProto write();
  /// A node that gives the expression from its operands; those that are the number 0 for "none" are left out.
  NodeWriter node(const char* op_type, Expr expr) {
    std::vector<std::string> inputs;
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) inputs.push_back(names_.at(expr.operand(i)));
    return node(op_type, std::move(inputs), names_.at(expr));
  }
  NodeWriter node(const char* op_type, std::vector<std::string> inputs, const std::string& output) {
    auto& node = *graph_->add_node();
    node.set_op_type(op_type);
    node.set_name(output);
    for (std::string& input : inputs) node.add_input(std::move(input));
    node.add_output(output);
    return {*this, node};
  }
  [[nodiscard]] const std::string& name(Expr expr) const { return names_.at(expr); }
  [[nodiscard]] static bool absent(Expr expr, std::size_t operand) {
    const Expr value = expr.operand(operand);
    return expr.op().operand(operand).optional && value.shape().rank() == 0 && is_zero(value);
  }
  void add_tensor(const std::string& name, const Tensor& value);
  /// The contents of the file beside the model; none where there is none.
  [[nodiscard]] const std::string& outside() const { return outside_; }
  [[noreturn]] static void refuse(Expr expr, const std::string& why) {
    throw Error(ErrorCode::model, fmt::format("{} cannot be written as ONNX: {}", describe(expr), why));
  }

 private:
  void name_all(std::span<const Expr> order);
  void require_forms(std::span<const Expr> order) const;
  void write_expr(Expr expr);
  void write_output(std::size_t index);
  /// The reductions that one Loop gives beside this one (write_loops.cpp).
  [[nodiscard]] std::vector<Expr> of_same_loop(Expr reduction) const;
  void write_loop(Expr reduction);
  void store_outside(onnx::TensorProto& tensor, const Tensor& value);
  class Outside;
  [[nodiscard]] const std::string& batch(Expr user);
  void describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) const;

  std::span<const Expr> outputs_;
  const SaveOptions& options_;
  onnx::ModelProto model_;
  onnx::GraphProto* graph_;  ///< that is written to: the model's, or the body of a loop
  const KnownWeights* known_;
  std::vector<Expr> order_;
  std::unordered_set<Expr> read_, written_;
  std::uint32_t loops_ = 0;  ///< a bit for each loop whose body is being written
  std::size_t again_ = 0;    ///< how many values were named anew in another body
  std::unordered_map<Expr, std::string> names_;
  std::unordered_set<std::string> taken_;  ///< all names of values
  std::vector<std::string> output_names_;
  std::int64_t opset_, needed_ = least_opset;
  std::string needs_it_, location_, outside_;
  std::vector<Expr> inputs_;
  std::string batch_;                          ///< the name of the batch's extent, once somebody asked for it
  std::map<std::string, std::string> shared_;  ///< names of constants by what they hold
  std::map<std::string, std::string> extents_;  ///< names of lists of extents that hold the batch
};

/// The ONNX nodes that one expression becomes.
class Steps {
 public:
  using Setting = std::function<void(NodeWriter&)>;
  Steps(Writer& writer, Expr expr) : writer_(writer), expr_(expr) {}

  /// A node between; gives the name of its result.
  std::string operator()(const char* op_type, std::vector<std::string> inputs, const Setting& setting = {}) {
    std::string result = writer_.unused(writer_.name(expr_) + "." + std::to_string(++count_));
    NodeWriter node = writer_.node(op_type, std::move(inputs), result);
    if (setting) setting(node);
    return result;
  }
  /// The last node, whose result is the expression.
  void last(const char* op_type, std::vector<std::string> inputs, const Setting& setting = {}) {
    NodeWriter node = writer_.node(op_type, std::move(inputs), writer_.name(expr_));
    if (setting) setting(node);
  }
  void last(const std::string& value) { last("Identity", {value}); }
  [[nodiscard]] const std::string& operand(std::size_t position) const {
    return writer_.name(expr_.operand(position));
  }
  [[nodiscard]] std::string ints(const Ints& values) { return writer_.ints(values); }
  [[nodiscard]] std::string number(double value) { return writer_.number(value, expr_.dtype()); }
  [[nodiscard]] std::string shared(const Tensor& value) { return writer_.shared(value); }

  [[nodiscard]] std::string reshape(const std::string& x, const Shape& shape);
  [[nodiscard]] std::string transpose(const std::string& x, const Ints& perm);
  [[nodiscard]] std::string cast(const std::string& x, DType dtype) {
    return (*this)("Cast", {x}, [&](NodeWriter& n) { n.set("to", std::int64_t{onnx_type(dtype)}); });
  }
  /// A reduction, whose axes are an attribute or an operand by the operator set.
  [[nodiscard]] std::string reduce(const char* op_type, const std::string& x, const Ints& axes, bool keep);
  /// x [..., n, ...] times a matrix [n, m] along an axis: [..., m, ...].
  [[nodiscard]] std::string along(const std::string& x, std::size_t rank, std::size_t axis,
                                  const Tensor& matrix);
  /// The elements of x at these places of an axis, 0 where a place is -1.
  [[nodiscard]] std::string take(const std::string& x, const Shape& shape, std::size_t axis, Ints places);

 private:
  Writer& writer_;
  Expr expr_;
  int count_ = 0;
};

}  // namespace rulegrad::io
