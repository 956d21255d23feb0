#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "onnx/proto.hpp"
#include "onnx/random_calls.hpp"

namespace rulegrad::io {

/// The nodes of a graph that the values depend on; bodies of control flow read what stands around them. Random
/// numbers that are known as such depend on their row and sample alone.
[[nodiscard]] std::unordered_set<const onnx::NodeProto*> nodes_below(const onnx::GraphProto& graph,
                                                                     const std::vector<std::string>& values,
                                                                     const RandomCalls& random);
/// Names of the outputs of a graph.
[[nodiscard]] std::vector<std::string> output_names(const onnx::GraphProto& graph);

}  // namespace rulegrad::io
