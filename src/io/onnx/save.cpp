#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <functional>
#include <map>

#include "io/file.hpp"
#include "io/onnx/file.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/op_attributes.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

void set_ints(onnx::NodeProto& node, const char* name, const Ints& values) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute->add_ints(value);
}
void set_int(onnx::NodeProto& node, const char* name, std::int64_t value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}
void set_float(onnx::NodeProto& node, const char* name, double value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::FLOAT);
  attribute->set_f(static_cast<float>(value));
}

int onnx_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return onnx::TensorProto::FLOAT;
    case DType::float64: return onnx::TensorProto::DOUBLE;
    case DType::int64: return onnx::TensorProto::INT64;
    case DType::int32: return onnx::TensorProto::INT32;
    case DType::uint8: return onnx::TensorProto::UINT8;
    case DType::int8: return onnx::TensorProto::INT8;
    case DType::boolean: return onnx::TensorProto::BOOL;
  }
  return onnx::TensorProto::UNDEFINED;
}

Ints joined(const Ints& a, const Ints& b) {
  Ints all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

class Saver {
 public:
  explicit Saver(std::span<const Expr> outputs) : outputs_(outputs) {}

  std::string run() {
    onnx::ModelProto model;
    model.set_ir_version(8);
    model.set_producer_name("rulegrad");
    auto* opset = model.add_opset_import();
    opset->set_domain("");
    opset->set_version(13);
    graph_ = model.mutable_graph();
    graph_->set_name("network");
    for (const Expr expr : topological_order(outputs_)) add(expr);
    for (const Expr output : outputs_) describe_value(*graph_->add_output(), names_.at(output), output.type());
    std::string bytes;
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    model.SerializeToCodedStream(&coded);
    coded.Trim();
    return bytes;
  }

 private:
  static void describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) {
    info.set_name(name);
    auto* tensor = info.mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(onnx_type(type.dtype));
    for (const Dim dim : type.shape.dims()) {
      auto* extent = tensor->mutable_shape()->add_dim();
      if (dim.batch) extent->set_dim_param("N");
      else extent->set_dim_value(dim.factor);
    }
  }

  void add(Expr expr) {
    std::string name = fmt::format("v{}", names_.size());
    if (expr.is("input")) {
      name = expr.attributes<InputAttributes>().name;
      describe_value(*graph_->add_input(), name, expr.type());
    } else if (expr.is("constant")) {
      add_tensor(name, expr.attributes<ConstantAttributes>().value);
    } else {
      onnx::NodeProto& node = *graph_->add_node();
      node.add_output(name);
      node.set_name(name);
      fill(node, expr);
    }
    names_.emplace(expr, std::move(name));
  }

  void add_tensor(const std::string& name, const Tensor& value) {
    auto* tensor = graph_->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx_type(value.dtype()));
    for (const std::int64_t extent : value.dims()) tensor->add_dims(extent);
    tensor->set_raw_data(std::string(reinterpret_cast<const char*>(value.data()), value.bytes()));
  }

  void operands(onnx::NodeProto& node, Expr expr, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      // The scalar 0 of an absent bias has no ONNX form: the operand is left out.
      if (expr.op().operand(i).optional && is_zero(expr.operand(i)) && expr.operand(i).shape().rank() == 0) continue;
      node.add_input(names_.at(expr.operand(i)));
    }
  }

  void fill(onnx::NodeProto& node, Expr expr) {
    static const std::map<std::string, const char*> plain{{"relu", "Relu"},       {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"},   {"softplus", "Softplus"},
                                                          {"hardswish", "HardSwish"}, {"exp", "Exp"},     {"log", "Log"},     {"sqrt", "Sqrt"},
                                                          {"abs", "Abs"},         {"neg", "Neg"},         {"add", "Add"},     {"sub", "Sub"},
                                                          {"mul", "Mul"},         {"div", "Div"},         {"matmul", "MatMul"}, {"max", "Max"}, {"min", "Min"}};
    const std::string& name = expr.op().name;
    operands(node, expr, expr.operands().size());
    if (const auto found = plain.find(name); found != plain.end() && to_string(expr.attributes()).empty()) {
      node.set_op_type(found->second);
    } else if (name == "dense" && expr.shape().rank() == 2) {
      node.set_op_type("Gemm");
      set_int(node, "transB", 1);
    } else if (name == "conv") {
      const auto& a = expr.attributes<ConvAttributes>();
      node.set_op_type("Conv");
      set_ints(node, "strides", a.strides);
      set_ints(node, "pads", joined(a.pads_begin, a.pads_end));
      set_ints(node, "dilations", a.dilations);
      set_int(node, "group", a.groups);
    } else if (name == "max_pool") {
      const auto& a = expr.attributes<PoolAttributes>();
      node.set_op_type("MaxPool");
      set_ints(node, "kernel_shape", a.kernel);
      set_ints(node, "strides", a.strides);
      set_ints(node, "pads", joined(a.pads_begin, a.pads_end));
      set_ints(node, "dilations", a.dilations);
      set_int(node, "ceil_mode", a.ceil ? 1 : 0);
    } else if (name == "avg_pool" && expr.attributes<AvgPoolAttributes>().dilations == Ints(expr.attributes<AvgPoolAttributes>().kernel.size(), 1)) {
      const auto& a = expr.attributes<AvgPoolAttributes>();
      node.set_op_type("AveragePool");
      set_ints(node, "kernel_shape", a.kernel);
      set_ints(node, "strides", a.strides);
      set_ints(node, "pads", joined(a.pads_begin, a.pads_end));
      set_int(node, "ceil_mode", a.ceil ? 1 : 0);
      set_int(node, "count_include_pad", a.count_padding ? 1 : 0);
    } else if (name == "batch_norm" && expr.attributes<BatchNormAttributes>().axis == 1) {
      node.set_op_type("BatchNormalization");
      set_float(node, "epsilon", expr.attributes<BatchNormAttributes>().epsilon);
    } else if (name == "softmax" || name == "log_softmax") {
      node.set_op_type(name == "softmax" ? "Softmax" : "LogSoftmax");
      set_int(node, "axis", expr.attributes<AxisAttributes>().axis);
    } else if (name == "concat") {
      node.set_op_type("Concat");
      set_int(node, "axis", expr.attributes<AxisAttributes>().axis);
    } else if (name == "transpose") {
      node.set_op_type("Transpose");
      set_ints(node, "perm", expr.attributes<TransposeAttributes>().perm);
    } else if (name == "reshape") {
      std::vector<std::int64_t> target;
      for (const Dim dim : expr.shape().dims()) target.push_back(dim.batch ? -1 : dim.factor);
      node.set_op_type("Reshape");
      const std::string shape = node.output(0) + "_shape";
      add_tensor(shape, Tensor({static_cast<std::int64_t>(target.size())}, std::span<const std::int64_t>(target)));
      node.add_input(shape);
    } else {
      throw Error(ErrorCode::model, fmt::format("{} has no ONNX form here, so that the model cannot be saved", describe(expr)));
    }
  }

  std::span<const Expr> outputs_;
  onnx::GraphProto* graph_ = nullptr;
  std::unordered_map<Expr, std::string> names_;
};

}  // namespace

void save_onnx(const std::string& path, std::span<const Expr> outputs) {
  const std::string bytes = Saver(outputs).run();
  io::write_atomically(path, {std::as_bytes(std::span(bytes))}, "write the model");
}

}  // namespace rulegrad
