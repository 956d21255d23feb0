#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/evaluation/fill.hpp"
#include "rulegrad/evaluation/randomisation.hpp"
#include "rulegrad/evaluation/scores.hpp"
#include "rulegrad/recipe/rule_library.hpp"

#include "cli/evaluating.hpp"

namespace rulegrad::cli {

/// What was typed, before any file is read.
struct EvaluationPlan {
  Fill fill, start;  ///< what regions are replaced by; what insertion starts from
  std::optional<ScoreKind> score;
  std::vector<Randomisation> randomisation;
  std::vector<AnalyzerCall> calls;  ///< the methods, then `random` with each key
  std::vector<std::string> names;   ///< of the methods
};

/// Throws Error for words that mean nothing.
[[nodiscard]] EvaluationPlan plan_of(const EvaluateOptions& options, const RuleLibrary& library);

/// An integer a sample from a .npy file, each the index of one of `scores`. Throws Error(shape) or
/// Error(invalid_argument) with the place.
[[nodiscard]] std::vector<std::int64_t> read_targets(const std::string& path, std::int64_t samples,
                                                     std::int64_t scores);

/// Methods that explain the difference from just what regions are replaced by have an advantage that the
/// reader should know: a line, or nothing.
[[nodiscard]] std::string note_on_baseline(const EvaluationPlan& plan);

}  // namespace rulegrad::cli
