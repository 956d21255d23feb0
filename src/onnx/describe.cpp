#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "onnx/model_file.hpp"
#include "onnx/needed.hpp"
#include "onnx/node_context.hpp"
#include "onnx/small_numbers.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

std::int64_t bits_of(int type) {
  using onnx::TensorProto;
  switch (type) {
    case TensorProto::DOUBLE:
    case TensorProto::INT64:
    case TensorProto::UINT64:
      return 64;
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
    case TensorProto::INT16:
    case TensorProto::UINT16:
      return 16;
    case TensorProto::INT8:
    case TensorProto::UINT8:
    case TensorProto::BOOL:
      return 8;
    default:
      if (const auto small = small_type(type)) return small->bits;
      return 32;
  }
}

/// The random numbers of a file, told by the nodes that give them alone.
RandomCalls likely_random(const ModelFile& file) {
  std::unordered_set<std::string_view> constants;
  for (const auto& tensor : file.graph().initializer()) constants.insert(tensor.name());
  return find_random(file.graph(), file.opset(), [&](const std::string& name, const onnx::TensorProto&) {
    return constants.contains(name);
  });
}

/// Nodes that stand between what random numbers are a function of and the numbers, which are read as a whole.
std::unordered_set<const onnx::NodeProto*> within_random(const onnx::GraphProto& graph,
                                                         const RandomCalls& random) {
  if (random.empty()) return {};
  auto within = nodes_below(graph, output_names(graph), {});
  for (const auto* const node : nodes_below(graph, output_names(graph), random)) within.erase(node);
  return within;
}

/// What a graph and the bodies of its control flow are made of.
void count_operators(const onnx::GraphProto& graph, const std::vector<std::string>& mapped,
                     const RandomCalls& random, ModelSummary& summary) {
  const auto within = within_random(graph, random);
  for (const auto& node : graph.node()) {
    const std::string name = qualified_name(node);
    ++summary.operators[name];
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) count_operators(attribute.g(), mapped, random, summary);
    if (handlers().contains(name) || within.contains(&node)) continue;
    if (summary.unmapped[name].empty())
      if (const std::string near = nearest_name(node.op_type(), mapped);
          !near.empty() && node.op_type().size() > 3)
        summary.nearest[name] = near;
    summary.unmapped[name].push_back(name_of_node(node));
  }
}

}  // namespace

ModelSummary describe_model(const ModelFile& file) {
  ModelSummary summary;
  const onnx::GraphProto& graph = file.graph();
  summary.producer = file.proto.producer_name();
  if (!file.proto.producer_version().empty()) summary.producer += " " + file.proto.producer_version();
  summary.graph_name = graph.name();
  summary.opset = file.opset();
  for (const auto& import : file.proto.opset_import())
    if (!import.domain().empty() && import.domain() != "ai.onnx")
      summary.other_opsets[import.domain()] = import.version();
  std::unordered_set<std::string_view> weights;
  for (const auto& tensor : graph.initializer()) {
    weights.insert(tensor.name());
    double count = 1;
    for (const std::int64_t extent : tensor.dims()) count *= static_cast<double>(extent);
    if (!(count >= 0 && count < 0x1p48)) continue;  // damaged; loading says so
    summary.parameters += static_cast<std::int64_t>(count);
    summary.parameter_bytes += static_cast<std::int64_t>(count) * bits_of(tensor.data_type()) / 8;
  }
  for (const auto& input : graph.input())
    if (!weights.contains(input.name())) summary.inputs.push_back({input.name(), declared_type(input)});
  for (const auto& output : graph.output()) summary.outputs.push_back({output.name(), declared_type(output)});
  for (const auto& entry : file.proto.metadata_props()) summary.metadata[entry.key()] = entry.value();
  std::vector<std::string> mapped;
  for (const auto& [name, handler] : handlers()) mapped.push_back(name);
  count_operators(graph, mapped, likely_random(file), summary);
  return summary;
}

}  // namespace rulegrad::io
