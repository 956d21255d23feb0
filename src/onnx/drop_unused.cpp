#include <algorithm>
#include <set>

#include "onnx/writer.hpp"

namespace rulegrad::io {
namespace {

using Names = std::set<std::string, std::less<>>;

/// What a node reads, in its bodies too.
void add_read(const onnx::NodeProto& node, Names& read) {
  read.insert(node.input().begin(), node.input().end());
  for (const auto& attribute : node.attribute())
    if (attribute.has_g()) {
      for (const auto& inner : attribute.g().node()) add_read(inner, read);
      for (const auto& output : attribute.g().output()) read.insert(output.name());
    }
}

template <class Field, class Keep>
void keep_only(Field& field, const Keep& keep) {
  int kept = 0;
  for (int i = 0; i < field.size(); ++i)
    if (keep(field.Get(i))) field.SwapElements(kept++, i);
  field.DeleteSubrange(kept, field.size() - kept);
}

}  // namespace

void drop_unused(onnx::GraphProto& graph) {
  Names read;
  for (const auto& output : graph.output()) read.insert(output.name());
  std::set<const onnx::NodeProto*> needed;
  for (int i = graph.node_size(); i-- > 0;) {
    const auto& node = graph.node(i);
    const auto used = [&](const std::string& name) { return read.contains(name); };
    if (std::none_of(node.output().begin(), node.output().end(), used)) continue;
    needed.insert(&node);
    add_read(node, read);
  }
  keep_only(*graph.mutable_node(), [&](const auto& node) { return needed.contains(&node); });
  keep_only(*graph.mutable_initializer(), [&](const auto& tensor) { return read.contains(tensor.name()); });
  keep_only(*graph.mutable_value_info(), [&](const auto& value) { return read.contains(value.name()); });
}

}  // namespace rulegrad::io
