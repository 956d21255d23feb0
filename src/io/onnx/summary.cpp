#include <fmt/format.h>

#include "io/onnx/importer.hpp"
#include "rulegrad/error.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

ModelSummary::Value describe_value(const onnx::ValueInfoProto& info) {
  const auto& type = info.type().tensor_type();
  std::vector<std::string> dims;
  for (const auto& dim : type.shape().dim())
    dims.push_back(dim.has_dim_value() ? std::to_string(dim.dim_value()) : dim.dim_param().empty() ? "?" : dim.dim_param());
  std::string name = onnx::TensorProto_DataType_Name(static_cast<onnx::TensorProto_DataType>(type.elem_type()));
  for (char& c : name) c = static_cast<char>(std::tolower(c));
  return {info.name(), fmt::format("{}[{}]", name, join(dims))};
}

std::int64_t bytes_of(int type) {
  using P = onnx::TensorProto;
  switch (type) {
    case P::DOUBLE:
    case P::INT64:
    case P::UINT64: return 8;
    case P::FLOAT16:
    case P::BFLOAT16:
    case P::INT16:
    case P::UINT16: return 2;
    case P::INT8:
    case P::UINT8:
    case P::BOOL: return 1;
    default: return 4;
  }
}

}  // namespace

ModelSummary inspect_onnx(const std::string& path) {
  const onnx_io::File file = onnx_io::open(path);
  const onnx::GraphProto& graph = file.proto.graph();
  ModelSummary summary;
  summary.producer = file.proto.producer_name() + (file.proto.producer_version().empty() ? "" : " " + file.proto.producer_version());
  summary.opset = onnx_io::opset_of(file);
  std::map<std::string, bool> initializers;
  for (const auto& initializer : graph.initializer()) {
    initializers[initializer.name()] = true;
    std::int64_t count = 1;
    for (const std::int64_t extent : initializer.dims()) count *= extent;
    summary.parameters += count;
    summary.parameter_bytes += count * bytes_of(initializer.data_type());
  }
  for (const auto& input : graph.input())
    if (!initializers.contains(input.name())) summary.inputs.push_back(describe_value(input));
  for (const auto& output : graph.output()) summary.outputs.push_back(describe_value(output));
  for (const auto& node : graph.node()) {
    ++summary.operators[node.op_type()];
    const bool known = (node.domain().empty() || node.domain() == "ai.onnx") && onnx_io::converters().contains(node.op_type());
    if (!known) summary.unmapped[node.op_type()].push_back(node.name().empty() ? node.output(0) : node.name());
  }
  return summary;
}

}  // namespace rulegrad
