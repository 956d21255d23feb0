#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.hpp"
#include "rulegrad/analyzer.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/verify.hpp"

namespace rulegrad::cli {

void add_verify_option(CLI::App& command, bool& verify);

/// Proves that the canonizers of an analysis are harmless (rulegrad/verify.hpp), once for each model and what rewrote it:
/// proofs are remembered in $XDG_CACHE_HOME/rulegrad, or ~/.cache/rulegrad, by the model's files and the rules. `force`
/// proves it again and says how large the difference was. Where nothing can be written it is proved each time.
void verify_canonizers(const ModelOptions& options, const Model& model, const RuleLibrary& library, const std::string& method, Expr output,
                       const Analysis& analysis, bool force);

/// --verify-numbers: some samples are computed again on the plain float64 path.
void add_verify_numbers_option(CLI::App& command, bool& verify);

/// The largest differences of what was held against that path so far.
class HeldNumbers {
 public:
  explicit HeldNumbers(NumberVerifier verifier) : verifier_(std::move(verifier)) {}

  /// The first and the last sample of a run of `count` of them.
  void hold(const Inputs& inputs, std::span<const Tensor> results, std::int64_t count, std::int64_t batch_offset);
  /// A line for the scores and for each method on standard error. Throws Error(internal) where one is off by more than rounding explains.
  void tell(std::span<const std::string> methods) const;

 private:
  NumberVerifier verifier_;
  std::vector<NumberCheck> worst_;
};

}  // namespace rulegrad::cli
