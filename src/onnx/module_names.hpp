#pragma once

#include <map>
#include <string>

#include "onnx/proto.hpp"

namespace rulegrad::io {

/// Modules of the network that was exported and the value that each of them gave, by what PyTorch's exporter
/// notes at its nodes
/// (`pkg.torch.onnx.name_scopes`): the last one that is computed inside.
[[nodiscard]] std::map<std::string, std::string> module_outputs(const onnx::GraphProto& graph);

}  // namespace rulegrad::io
