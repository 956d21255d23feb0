#include <algorithm>
#include <set>

#include "rulegrad/leaves.hpp"

#include "io/file.hpp"
#include "io/onnx/writer.hpp"
#include "support/text.hpp"

namespace rulegrad::io {

int onnx_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return onnx::TensorProto::FLOAT;
    case DType::float64:
      return onnx::TensorProto::DOUBLE;
    case DType::int32:
      return onnx::TensorProto::INT32;
    case DType::int64:
      return onnx::TensorProto::INT64;
    case DType::uint8:
      return onnx::TensorProto::UINT8;
    case DType::int8:
      return onnx::TensorProto::INT8;
    case DType::boolean:
      break;
  }
  return onnx::TensorProto::BOOL;
}

NodeWriter& NodeWriter::input(const char* suffix, const Tensor& value) {
  const std::string name = node_.output(0) + "." + suffix;
  writer_.add_tensor(name, value);
  node_.add_input(name);
  return *this;
}

/// The name a node was given, if no other node of the file has it.
void Writer::name_all(std::span<const Expr> order) {
  std::set<std::string> taken;
  const auto claim = [&](Expr expr, const std::string& name) {
    return taken.insert(name).second && names_.emplace(expr, name).second;
  };
  for (const Expr expr : order)
    if (expr.is("input")) claim(expr, expr.attributes<InputAttributes>().name);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (names_.contains(outputs_[i])) continue;
    const std::string name = i < options_.output_names.size() ? options_.output_names[i]
                             : i == 0                         ? "y"
                                                              : fmt::format("y_{}", i);
    if (!claim(outputs_[i], name))
      throw Error(ErrorCode::model, fmt::format("the output name '{}' is taken", name));
  }
  std::size_t index = 0;
  for (const Expr expr : order) {
    ++index;
    if (names_.contains(expr)) continue;
    for (const std::string& name : expr.graph().names(expr))
      if (!names_.contains(expr) && !taken.contains(name)) claim(expr, name);
    for (std::string name = fmt::format("v{}", index); !names_.contains(expr); name += "_")
      if (!taken.contains(name)) claim(expr, name);
  }
}

void Writer::describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) const {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_type(type.dtype));
  auto& shape = *tensor.mutable_shape();
  for (const Dim dim : type.shape.dims()) {
    auto& extent = *shape.add_dim();
    if (!dim.batch)
      extent.set_dim_value(dim.factor);
    else
      extent.set_dim_param(dim.factor == 1 ? "N" : fmt::format("{}*N", dim.factor));
  }
}

onnx::ModelProto Writer::write() {
  const std::vector<Expr> order = topological_order(outputs_);
  std::set<std::string> unknown;
  for (const Expr expr : order)
    if (!expr.is("input") && !expr.is("constant") && !is_custom(expr.op()) && !forms().contains(expr.op().name))
      unknown.insert(expr.op().name);
  if (!unknown.empty()) {
    const std::vector<std::string> list(unknown.begin(), unknown.end());
    throw Error(ErrorCode::model,
                fmt::format("the network uses operators that are not written as ONNX: {}", join(list)));
  }
  name_all(order);
  model_.set_ir_version(7);
  model_.set_producer_name("rulegrad");
  auto& opset = *model_.add_opset_import();
  opset.set_domain("");
  opset.set_version(written_opset);
  if (std::any_of(order.begin(), order.end(), [](Expr expr) { return is_custom(expr.op()); })) {
    auto& custom = *model_.add_opset_import();
    custom.set_domain(custom_domain);
    custom.set_version(1);
  }
  auto& graph = *model_.mutable_graph();
  graph.set_name(options_.graph_name);
  std::set<Expr, bool (*)(Expr, Expr)> read([](Expr a, Expr b) { return a->id < b->id; });
  for (const Expr expr : order)
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) read.insert(expr.operand(i));
  for (const Expr output : outputs_) read.insert(output);
  for (const Expr expr : order) {
    if (expr.is("input"))
      describe_value(*graph.add_input(), name(expr), expr.type());
    else if (is_custom(expr.op()))
      write_custom(*this, expr);
    else if (!expr.is("constant"))
      forms().at(expr.op().name)(*this, expr);
    else if (read.contains(expr))
      add_tensor(name(expr), expr.attributes<ConstantAttributes>().value);
  }
  for (const Expr output : outputs_) describe_value(*graph.add_output(), name(output), output.type());
  auto metadata = options_.metadata;
  if (!options_.labels.empty()) metadata["labels"] = join(options_.labels, "\n");
  for (const auto& [key, value] : metadata) {
    auto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return std::move(model_);
}

}  // namespace rulegrad::io

namespace rulegrad {

void save_onnx(const std::string& path, std::span<const Expr> outputs, const SaveOptions& options) {
  if (outputs.empty()) throw Error(ErrorCode::model, "there is no output to save");
  std::string bytes;
  if (!io::Writer(outputs, options).write().SerializeToString(&bytes))
    throw Error(ErrorCode::model,
                fmt::format("'{}' would be larger than the 2 GB that an ONNX file can have", path));
  io::write_atomically(path, {std::as_bytes(std::span(bytes))}, "write the model");
}

}  // namespace rulegrad
