#pragma once

#include <span>
#include <string>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

namespace rulegrad {

/// `lrp.epsilon:epsilon=0.1`
[[nodiscard]] std::string text_of(const AnalyzerCall& call);
/// The names of methods; two calls of one are told apart by their arguments.
[[nodiscard]] std::vector<std::string> labels_of(std::span<const AnalyzerCall> calls);

}  // namespace rulegrad
