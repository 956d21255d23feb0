#pragma once

#include <span>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"

/// What an explainer explains: nodes as they are, and inputs of integers by the values that look them up.
namespace rulegrad {

struct AskedQuestion;     // explainer.hpp
struct ExplainerOptions;  // explainer.hpp

struct ExplainedValue {
  std::string name;
  Expr value;               ///< the node, or the input of integers
  std::vector<Expr> nodes;  ///< what relevance goes to: the node itself, or the values that look the input up
  /// For inputs of integers: the way from `leaf` to the index of each lookup, as a movement of numbers.
  std::vector<Expr> ways;
  Expr leaf;
};

/// Values of these names, or the inputs of the model where there are none (ExplainerOptions::nodes). Throws
/// Error(unknown_name) with the nearest name, Error(invalid_argument) for integers that no table is asked
/// for.
[[nodiscard]] std::vector<ExplainedValue> explained_values(const Model& model,
                                                           const std::vector<std::string>& names,
                                                           std::size_t output);

/// What `question_for` asks about these values.
[[nodiscard]] AskedQuestion question_about(const Model& model, std::span<const ExplainedValue> values,
                                           const ExplainerOptions& options);

/// The attribution of a value from those of its nodes.
[[nodiscard]] Expr attribution_of(const ExplainedValue& value, std::span<const Expr> attributions);

}  // namespace rulegrad
