#pragma once

#include <span>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/recipe/analyzer.hpp"

namespace rulegrad::cli {

/// Warns of methods whose attributions add up to something else than they promise, by more than a twentieth,
/// and says what may help.
void warn_of_lost_parts(const Explanation& found, std::span<const AnalyzerCall> calls,
                        const RuleLibrary& library, const std::vector<std::string>& samples,
                        const std::string& model);

}  // namespace rulegrad::cli
