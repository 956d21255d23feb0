#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/loading.hpp"
#include "cli/question.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {

/// What `rulegrad evaluate` is told.
struct EvaluateOptions {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  QuestionOptions question;
  std::vector<std::string> methods;
  std::string labels, fill = "0", start, score, mask, plot, csv;
  std::vector<std::string> randomisation;
  std::int64_t region_size = 0, steps = 0, orders = 5, sensitivity = 0, key = 0;
  double until = 1, baseline = 0;
  std::optional<double> radius;
  bool json = false;
};

/// Explains, perturbs, measures and says what it found, in the order of the options.
void evaluate(const EvaluateOptions& options);

}  // namespace rulegrad::cli
