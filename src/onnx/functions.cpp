#include "onnx/functions.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <google/protobuf/unknown_field_set.h>
#include <map>
#include <string>
#include <vector>

#include "rulegrad/support/error.hpp"

namespace rulegrad::io {
namespace {

using onnx::AttributeProto;
using onnx::FunctionProto;
using onnx::NodeProto;

using Key = std::pair<std::string, std::string>;
using Names = std::map<std::string, std::string>;

/// Attributes that a call may leave out (`attribute_proto`, which older message formats do not know).
std::vector<AttributeProto> defaults_of(const FunctionProto& function) {
  constexpr int field = 11;
  std::vector<AttributeProto> result;
  const auto& unknown = function.GetReflection()->GetUnknownFields(function);
  for (int i = 0; i < unknown.field_count(); ++i) {
    AttributeProto attribute;
    if (unknown.field(i).number() == field &&
        unknown.field(i).type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED &&
        attribute.ParseFromString(unknown.field(i).length_delimited()))
      result.push_back(std::move(attribute));
  }
  return result;
}

/// What one call of a function makes of the names and attributes inside of it.
struct Call {
  const NodeProto& node;
  const FunctionProto& function;
  std::string prefix;
  Names names;
  std::vector<AttributeProto> defaults;

  std::string renamed(const std::string& name) {
    if (name.empty()) return name;
    const auto [place, fresh] = names.try_emplace(name, prefix + name);
    return place->second;
  }

  const AttributeProto* given(const std::string& name) const {
    for (const AttributeProto& attribute : node.attribute())
      if (attribute.name() == name) return &attribute;
    for (const AttributeProto& attribute : defaults)
      if (attribute.name() == name) return &attribute;
    return nullptr;
  }

  void rewrite(NodeProto& inner) {
    if (!inner.name().empty()) inner.set_name(prefix + inner.name());
    for (auto& name : *inner.mutable_input()) name = renamed(name);
    for (auto& name : *inner.mutable_output()) name = renamed(name);
    for (int i = inner.attribute_size(); i-- > 0;) {
      AttributeProto& attribute = *inner.mutable_attribute(i);
      if (!attribute.ref_attr_name().empty()) {
        const AttributeProto* const value = given(attribute.ref_attr_name());
        if (value == nullptr) {
          inner.mutable_attribute()->DeleteSubrange(i, 1);
          continue;
        }
        const std::string name = attribute.name();
        attribute = *value;
        attribute.set_name(name);
      } else if (attribute.has_g()) {
        rewrite(*attribute.mutable_g());
      }
    }
  }

  void rewrite(onnx::GraphProto& graph) {
    for (auto& input : *graph.mutable_input()) input.set_name(renamed(input.name()));
    for (auto& weight : *graph.mutable_initializer()) weight.set_name(renamed(weight.name()));
    for (auto& node_inside : *graph.mutable_node()) rewrite(node_inside);
    for (auto& output : *graph.mutable_output()) output.set_name(renamed(output.name()));
  }
};

class Expansion {
 public:
  explicit Expansion(const onnx::ModelProto& model)
      : most_bytes_(std::max(least_bytes, 4096 * static_cast<std::size_t>(model.graph().node_size()))) {
    for (const FunctionProto& function : model.functions())
      functions_.emplace(Key{function.domain(), function.name()}, &function);
  }

  void expand(google::protobuf::RepeatedPtrField<NodeProto>& nodes) {
    google::protobuf::RepeatedPtrField<NodeProto> result;
    for (NodeProto& node : nodes) add(std::move(node), result, 0);
    nodes.Swap(&result);
  }

 private:
  static constexpr int deepest = 64;
  /// Of what calls are written out to: functions that call others twice, and those again, end here, and so do
  /// those that hold large arrays.
  static constexpr std::size_t least_bytes = std::size_t{256} << 20;

  void add(NodeProto node, google::protobuf::RepeatedPtrField<NodeProto>& to, int depth) {
    const auto found = functions_.find({node.domain(), node.op_type()});
    if (found == functions_.end()) {
      for (auto& attribute : *node.mutable_attribute()) {
        if (!attribute.has_g()) continue;
        google::protobuf::RepeatedPtrField<NodeProto> inside;
        // A function whose body's branch calls it again is as deep as any other.
        for (NodeProto& body_node : *attribute.mutable_g()->mutable_node())
          add(std::move(body_node), inside, depth);
        attribute.mutable_g()->mutable_node()->Swap(&inside);
      }
      *to.Add() = std::move(node);
      return;
    }
    const FunctionProto& function = *found->second;
    if (depth == deepest)
      throw Error(ErrorCode::model, fmt::format("the function '{}' calls itself, or others more than {} deep",
                                                function.name(), deepest));
    spend(64, function);
    const std::string own = !node.name().empty()     ? node.name()
                            : node.output_size() > 0 ? node.output(0)
                                                     : function.name();
    Call call{node, function, own + "/", {}, defaults_of(function)};
    for (int i = 0; i < function.input_size(); ++i)
      call.names[function.input(i)] = i < node.input_size() ? node.input(i) : "";
    for (int i = 0; i < function.output_size(); ++i) {
      if (i >= node.output_size() || node.output(i).empty()) continue;
      if (const auto same = call.names.find(function.output(i)); same != call.names.end()) {
        NodeProto copy;
        copy.set_op_type("Identity");
        copy.add_input(same->second);
        copy.add_output(node.output(i));
        *to.Add() = std::move(copy);
        continue;
      }
      call.names[function.output(i)] = node.output(i);
    }
    for (const NodeProto& inside : function.node()) {
      NodeProto copy = inside;
      call.rewrite(copy);
      spend(64 + copy.ByteSizeLong(), function);
      add(std::move(copy), to, depth + 1);
    }
  }

  void spend(std::size_t bytes, const FunctionProto& function) {
    bytes_ += bytes;
    if (bytes_ > most_bytes_)
      throw Error(ErrorCode::model,
                  fmt::format("its functions would be written out to more than {} MB, the last "
                              "of them '{}'",
                              most_bytes_ >> 20, function.name()));
  }

  std::size_t bytes_ = 0, most_bytes_;
  std::map<Key, const FunctionProto*> functions_;
};

}  // namespace

void expand_functions(onnx::ModelProto& model) {
  if (model.functions_size() == 0) return;
  Expansion(model).expand(*model.mutable_graph()->mutable_node());
}

}  // namespace rulegrad::io
