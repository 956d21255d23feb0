#pragma once

#include <string>
#include <vector>

#include "onnx/node_context.hpp"

/// What the operators of ai.onnx.ml share.
namespace rulegrad::io {

/// The first operand as [N, F]: one sample may come without its axis.
[[nodiscard]] Expr features_of(NodeContext& c);
/// A constant of the importer's floating type.
[[nodiscard]] Expr numbers(const NodeContext& c, const std::vector<double>& values, Dims dims);
/// y after `post_transform`.
[[nodiscard]] Expr transformed(NodeContext& c, Expr y, const std::string& how);
/// The class of the largest score: its number in the file, or where it stands if classes are words.
void label_result(NodeContext& c, Expr scores, const char* integers_name, const char* strings_name);

}  // namespace rulegrad::io
