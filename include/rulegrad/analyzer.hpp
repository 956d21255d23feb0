#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/operators.hpp"
#include "rulegrad/provenance.hpp"
#include "rulegrad/rule_library.hpp"

namespace rulegrad {

/// An analyzer with arguments for its parameters, as in `lrp.epsilon:epsilon=0.1`.
struct AnalyzerCall {
  using Argument = std::variant<double, std::string, Tensor>;
  std::string name;
  std::vector<std::pair<std::string, Argument>> arguments;

  /// Reads `name` or `name:key=value,key=value`; numbers become numbers. Throws Error(invalid_argument).
  [[nodiscard]] static AnalyzerCall parse(std::string_view text);
};

/// What is explained: which output of the model, for which of its inputs, and for which target.
struct Question {
  Expr output;                  ///< of shape [B, ...]; flattened to one row of scores a sample
  std::vector<Expr> explained;  ///< inputs, or inner nodes
  /// int64 [B]: the index of the explained score of each sample; absent: the largest.
  Expr target;
  /// Overrides the analyzer's seed: of the flattened output's shape.
  enum class Seed { own, one, value, tensor };
  Seed seed = Seed::own;
  Expr seed_tensor;
};

/// An analyzer applied to a graph: expressions to compile, and how each gradient node was closed.
struct Analysis {
  std::vector<Expr> attributions;  ///< one for each explained value, of its shape
  std::vector<Expr> relevance;     ///< the totals that reached them, before the analyzer's `result`
  Expr seed;
  Expr output;                     ///< the canonised, flattened output [B, n]
  Provenance steps;
  std::vector<Expr> explained;  ///< the canonised explained values
  std::vector<ForwardRewrite> rewrites;
};

/// Builds the explanation as expressions of the question's graph. Throws Error: unclaimed nodes (all of them, with the
/// nearest rule and what to type), unknown names, parameters out of range, rules that do not fit.
[[nodiscard]] Analysis analyze(const RuleLibrary& library, const AnalyzerCall& call, const Question& question,
                               const Operators& operators = Operators::builtin());

/// The rules of a method and of everything it builds on, as text that stands on its own.
[[nodiscard]] std::string show_method(const RuleLibrary& library, std::string_view method);

}  // namespace rulegrad
