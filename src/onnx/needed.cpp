#include "onnx/needed.hpp"

#include <unordered_map>

namespace rulegrad::io {
namespace {

void read_by(const onnx::NodeProto& node, const RandomCalls& random, std::vector<std::string>& names) {
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
  std::unordered_map<std::string, const onnx::NodeProto*> made_by;
  for (const auto& node : graph.node())
    for (const auto& output : node.output())
      if (!output.empty()) made_by.emplace(output, &node);
  std::unordered_set<const onnx::NodeProto*> needed;
  std::vector<std::string> open = values;
  while (!open.empty()) {
    const std::string name = std::move(open.back());
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
