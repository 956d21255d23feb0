#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/files/picture.hpp"
#include "rulegrad/support/json.hpp"

/// What `rulegrad evaluate` found, and how it is shown: a table, a CSV file, JSON, a chart.
namespace rulegrad::cli {

/// A measure of the table; what was not asked for is absent.
struct Measures {
  double aopc = 0, aopc_least = 0, deletion = 0, insertion = 0, gini = 0;
  std::optional<double>
      completeness;  ///< the error, over the difference that is explained; absent where there is none
  std::optional<double> sensitivity, precision;
};

/// Rank correlations of one kind of randomisation, a value a layer.
struct LayerCorrelations {
  std::string kind;
  std::vector<double> correlation, of_magnitudes;
};

struct MethodResult {
  std::string name;
  bool floor = false;                          ///< what the others are compared with
  std::vector<double> most, least, insertion;  ///< mean scores on the way
  Measures measures;
  std::vector<LayerCorrelations> randomisation;
};

struct EvaluationResult {
  std::vector<double> fractions;
  std::vector<std::string> layers;  ///< of the randomisation
  std::vector<MethodResult> methods;
};

/// Columns as wide as their widest cell, two spaces apart; the first is aligned to the left, the others to
/// the right.
[[nodiscard]] std::string aligned(std::span<const std::vector<std::string>> rows);

[[nodiscard]] std::string measures_table(const EvaluationResult& result);
/// Which methods are no better than the floor, by each of the curves.
[[nodiscard]] std::string compared_with_floor(const EvaluationResult& result);
[[nodiscard]] std::string randomisation_table(const EvaluationResult& result, std::size_t kind);
/// `method,measure,at,value`: curves at fractions, correlations at layers, other measures at nothing.
[[nodiscard]] std::string as_csv(const EvaluationResult& result);
/// Curves, measures and correlations, within the object that is open.
void write_result(Json& json, const EvaluationResult& result);
[[nodiscard]] io::Picture as_chart(const EvaluationResult& result, const std::string& title,
                                   const std::string& replaced, const std::string& inserted);

}  // namespace rulegrad::cli
