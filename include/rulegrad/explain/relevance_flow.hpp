#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Where the relevance of one gradient node went, and the values that it sent on. Bias, stabiliser and rest
/// are known for whole operations: they stand at the first operand of each.
struct FlowRow {
  std::size_t step = 0;
  bool first = true;  ///< the first gradient node of its operation
  double in = 0;      ///< the sum of the cotangent that reached the operation
  double out = 0;     ///< the sum of what went to this operand
  double bias = 0;  ///< what went to the operands more when biases, and addends that no input reaches, were 0
  double stabiliser = 0;  ///< and what more yet when `stabilize(z, eps)` was z
  double rest = 0;        ///< in, less all of that: what the rule itself does not hand on
  double empty = 0;  ///< of the rest: what reached units with nothing to share it out over (z is exactly 0)
  double low = 0, high = 0;  ///< the smallest and the largest value sent
  double negative = 0;       ///< the share of values sent that are below 0
};

/// A row for each operand of each gradient node, and the sums at both ends.
struct RelevanceFlow {
  std::vector<FlowRow> rows;
  double seed = 0;     ///< sum of what the walk started from
  double reached = 0;  ///< sum of the relevance that reached the explained values
};

/// The expressions whose values `read_flow` needs, each a single number when one sample is given. A sum is
/// taken in float64 over everything it is of; where a model's batch is fixed, that is over its whole batch.
class FlowQuestions {
 public:
  /// Adds what it asks for to the graph of the analysis.
  explicit FlowQuestions(const Analysis& analysis);
  /// What must be computed.
  [[nodiscard]] const std::vector<Expr>& expressions() const { return expressions_; }
  /// From the values of `expressions`, in their order. Throws Error(invalid_argument) unless there is one for
  /// each.
  [[nodiscard]] RelevanceFlow read(std::span<const Tensor> values) const;

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  /// Indices into the expressions; `none` where nothing was sent.
  struct Asked {
    std::size_t step;
    std::size_t in, out, without_bias, transparent, low, high, negative;
    std::vector<std::size_t> empty = {};
  };
  std::size_t ask(Expr expression);

  std::vector<Expr> expressions_;
  std::vector<Asked> asked_;
  std::vector<bool> first_;
  std::vector<std::size_t> reached_;
  std::size_t seed_ = 0;
  std::size_t search_from_ = 0;
};

/// Does the analyzer divide relevance up (its rules hold `stabilize` or `over`), rather than send gradients
/// back?
[[nodiscard]] bool shares_relevance(const Analysis& analysis);

/// The flow as a table: for analyzers that divide relevance up what was lost and to what, else the range of
/// the values.
[[nodiscard]] std::string flow_table(const Analysis& analysis, const RelevanceFlow& flow,
                                     std::size_t width = 160);

}  // namespace rulegrad
