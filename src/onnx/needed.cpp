#include "onnx/needed.hpp"

#include <string_view>
#include <unordered_map>

namespace rulegrad::io {
namespace {

/// Views of names in the file and in `random`.
void read_by(const onnx::NodeProto& node, const RandomCalls& random, std::vector<std::string_view>& names) {
  if (const auto call = random.find(&node); call != random.end()) {
    names.push_back(call->second.row);
    names.push_back(call->second.sample);
    return;
  }
  for (const auto& input : node.input()) names.push_back(input);
  for (const auto& attribute : node.attribute()) {
    if (!attribute.has_g()) continue;
    for (const auto& inside : attribute.g().node()) read_by(inside, random, names);
    for (const auto& output : attribute.g().output()) names.push_back(output.name());
  }
}

}  // namespace

std::unordered_set<const onnx::NodeProto*> nodes_below(const onnx::GraphProto& graph,
                                                       const std::vector<std::string>& values,
                                                       const RandomCalls& random) {
  std::unordered_map<std::string_view, const onnx::NodeProto*> made_by;
  made_by.reserve(static_cast<std::size_t>(graph.node_size()));
  for (const auto& node : graph.node())
    for (const auto& output : node.output())
      if (!output.empty()) made_by.emplace(output, &node);
  std::unordered_set<const onnx::NodeProto*> needed;
  std::vector<std::string_view> open(values.begin(), values.end());
  while (!open.empty()) {
    const std::string_view name = open.back();
    open.pop_back();
    if (const auto found = made_by.find(name); found != made_by.end() && needed.insert(found->second).second)
      read_by(*found->second, random, open);
  }
  return needed;
}

std::vector<std::string> output_names(const onnx::GraphProto& graph) {
  std::vector<std::string> names;
  for (const auto& output : graph.output()) names.push_back(output.name());
  return names;
}

}  // namespace rulegrad::io
