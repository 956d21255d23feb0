#include "onnx/module_names.hpp"

#include <google/protobuf/unknown_field_set.h>
#include <vector>

namespace rulegrad::io {
namespace {

/// `metadata_props` of a node, which older message formats do not know.
std::string scopes_of(const onnx::NodeProto& node) {
  constexpr int field = 9;
  const auto& unknown = node.GetReflection()->GetUnknownFields(node);
  for (int i = 0; i < unknown.field_count(); ++i) {
    onnx::StringStringEntryProto entry;
    if (unknown.field(i).number() == field &&
        unknown.field(i).type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED &&
        entry.ParseFromString(unknown.field(i).length_delimited()) &&
        entry.key() == "pkg.torch.onnx.name_scopes")
      return entry.value();
  }
  return "";
}

/// What stands in quotes.
std::vector<std::string> quoted(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at)) {
    const std::size_t end = text.find('\'', at + 1);
    if (end == std::string::npos) break;
    words.push_back(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return words;
}

}  // namespace

std::map<std::string, std::string> module_outputs(const onnx::GraphProto& graph) {
  std::map<std::string, std::string> outputs;
  for (const auto& node : graph.node()) {
    std::vector<std::string> words = quoted(scopes_of(node));
    if (words.empty() || node.output_size() == 0) continue;
    words.pop_back();  // the operation itself
    for (const std::string& module : words)
      if (!module.empty()) outputs[module] = node.output(0);
  }
  return outputs;
}

}  // namespace rulegrad::io
