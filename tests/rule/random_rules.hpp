#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "rulegrad/rule/rule.hpp"

namespace rulegrad::test {

/// Rules, sets and files that the grammar can say, a pure function of the seed. Bound names (x, y, ...),
/// functions (f_...) and free names come from different letters: a call of a bound name means something else.
class RandomRules {
 public:
  explicit RandomRules(std::uint64_t seed) : random_(seed) {}

  RuleFile file();
  RuleSet rule_set();
  Function function();
  CompositeOp composite();
  AnalyzerDefinition analyzer();
  /// `outer`: names of the set around it.
  Rule rule(std::vector<std::string> outer);

 private:
  /// A value of at most this depth; `bound` are names it may read and whose operands it may replace.
  TermId value(Terms& terms, const std::vector<std::string>& bound, int depth);
  TermId call(Terms& terms, const std::vector<std::string>& bound, int depth);
  TermId pattern(Terms& terms, std::vector<std::string>& bound, int depth);
  TermId pattern_call(Terms& terms, std::vector<std::string>& bound, int depth);
  TermId reference(Terms& terms, const std::vector<std::string>& bound);
  std::vector<Parameter> parameters(Terms& terms, std::vector<std::string>& bound);
  std::vector<Let> lets(Terms& terms, std::vector<std::string>& bound);
  std::string text();
  std::string doc();
  double constant();

  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  bool chance(int percent) { return below(100) < percent; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(below(static_cast<int>(from.size())))];
  }

  std::mt19937_64 random_;
};

}  // namespace rulegrad::test
