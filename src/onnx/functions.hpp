#pragma once

#include "onnx/proto.hpp"

namespace rulegrad::io {

/// Puts the nodes of the model's own functions where they are called; their values get the call's name in
/// front. Throws Error(model) for functions that call themselves.
void expand_functions(onnx::ModelProto& model);

}  // namespace rulegrad::io
