#pragma once

#include <string>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"

#include "cli/options.hpp"

namespace rulegrad::cli {

void add_verify_option(CLI::App& command, bool& verify);

/// Proves that the canonizers of an analysis are harmless (rulegrad/prove/verify.hpp), once for each model
/// and what rewrote it: proofs are remembered in $XDG_CACHE_HOME/rulegrad, or ~/.cache/rulegrad, by the
/// model's files and the rules. `force` proves it again and says how large the difference was. Where nothing
/// can be written it is proved each time.
void verify_canonizers(const ModelOptions& options, const Model& model, const RuleLibrary& library,
                       const std::string& method, Expr output, const Analysis& analysis, bool force);

/// --verify-numbers: some samples are computed again on the plain float64 path.
void add_verify_numbers_option(CLI::App& command, bool& verify);

}  // namespace rulegrad::cli
