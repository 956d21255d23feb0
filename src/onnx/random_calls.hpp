#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "rulegrad/expr/attributes.hpp"

#include "onnx/proto.hpp"

namespace rulegrad::io {

/// Random numbers of an exported explanation: what some hundred nodes (write_random.cpp) compute bit by bit.
struct RandomCall {
  std::string op;           ///< random_normal, random_uniform, random_index
  Attributes attributes;    ///< as they were written
  std::string row, sample;  ///< the values that they are a function of
};
/// By the node that gives the numbers.
using RandomCalls = std::unordered_map<const onnx::NodeProto*, RandomCall>;

/// What that node is marked with.
[[nodiscard]] std::string random_mark(std::string_view op, const Attributes& attributes);

/// Whether the constant of the file that has this name is the other one.
using SameConstant = std::function<bool(const std::string& name, const onnx::TensorProto& other)>;

/// Those of a graph and of the bodies within it. A mark is believed where what stands before it is, node by node
/// and number by number, what would be written for it.
[[nodiscard]] RandomCalls find_random(const onnx::GraphProto& graph, std::int64_t opset,
                                      const SameConstant& same_constant);

}  // namespace rulegrad::io
