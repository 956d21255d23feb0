#pragma once

#include <fmt/format.h>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/error.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/op_attributes.hpp"

#include "io/onnx/proto.hpp"

namespace rulegrad::io {

/// The operator set that is written.
inline constexpr std::int64_t written_opset = 13;

[[nodiscard]] int onnx_type(DType dtype);

class Writer;

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
[[nodiscard]] const std::map<std::string, Form, std::less<>>& forms();
/// Those of functions that are read and written by one row (rows.hpp).
void add_rows(std::map<std::string, Form, std::less<>>& forms);

/// Turns expressions into a model.
class Writer {
 public:
  Writer(std::span<const Expr> outputs, const SaveOptions& options) : outputs_(outputs), options_(options) {}

  onnx::ModelProto write();
  /// A node that gives the expression from its operands; those that are the number 0 for "none" are left out.
  NodeWriter node(const char* op_type, Expr expr) {
    std::vector<std::string> inputs;
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) inputs.push_back(names_.at(expr.operand(i)));
    return node(op_type, std::move(inputs), names_.at(expr));
  }
  NodeWriter node(const char* op_type, std::vector<std::string> inputs, const std::string& output) {
    auto& node = *model_.mutable_graph()->add_node();
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
  void add_tensor(const std::string& name, const Tensor& value) {
    auto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx_type(value.dtype()));
    for (const std::int64_t extent : value.dims()) tensor.add_dims(extent);
    tensor.set_raw_data(value.data(), value.bytes());
  }
  [[noreturn]] static void refuse(Expr expr, const std::string& why) {
    throw Error(ErrorCode::model, fmt::format("{} cannot be written as ONNX: {}", describe(expr), why));
  }

 private:
  void name_all(std::span<const Expr> order);
  void describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) const;

  std::span<const Expr> outputs_;
  const SaveOptions& options_;
  onnx::ModelProto model_;
  std::unordered_map<Expr, std::string> names_;
};

}  // namespace rulegrad::io
