#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "property/networks.hpp"

/// Explaining small networks, and plain loops that evaluate and differentiate them one sample at a time.
namespace rulegrad::testing {

struct Explained {
  Tensor map;
  Tensor scores;  ///< [B, n]
};

inline Question question_for(Expr output, std::vector<Expr> explained, Expr target = {}) {
  Question question;
  question.output = output;
  question.explained = std::move(explained);
  question.target = target;
  return question;
}

inline Expr fixed_target(Graph& graph, std::int64_t index) {
  return graph.constant(Tensor({1}, {index}));
}

inline Tensor explain(const std::string& method, const Question& question, const Inputs& inputs,
                      const CompileOptions& options = {}, const RunOptions& run = {},
                      const RuleLibrary& library = RuleLibrary::builtin()) {
  const Analysis analysis = analyze(library, AnalyzerCall::parse(method), question);
  return Program::compile(analysis.attributions, options).run(inputs, run).at(0);
}

/// The rest of the network at one sample: its score and the gradient of that score.
class PlainNetwork {
 public:
  PlainNetwork(Expr input, Expr output, std::int64_t target)
      : target_(target),
        name_(input.graph().names(input).at(0)),
        forward_(Program::compile(std::span(&output, 1))),
        backward_(Program::compile(analyze(RuleLibrary::builtin(), AnalyzerCall::parse("gradient"),
                                           question_for(output, {input}, fixed_target(input.graph(), target)))
                                       .attributions)) {}

  [[nodiscard]] double score(const Tensor& x) const { return forward_.run({{name_, x}}).at(0).at(target_); }
  [[nodiscard]] Tensor gradient(const Tensor& x) const { return backward_.run({{name_, x}}).at(0); }

 private:
  std::int64_t target_;
  std::string name_;
  Program forward_, backward_;
};

inline Tensor row_of(const Tensor& batch, std::int64_t row) {
  Dims dims = batch.dims();
  dims[0] = 1;
  const auto values = batch.values<double>();
  const std::size_t each = static_cast<std::size_t>(element_count(dims));
  return Tensor(dims, values.subspan(static_cast<std::size_t>(row) * each, each));
}

inline double sum_of(const Tensor& values) {
  double sum = 0;
  for (std::int64_t i = 0; i < values.size(); ++i) sum += values.at(i);
  return sum;
}

/// The largest difference in units of the largest value (or of `floor`).
inline double distance(const Tensor& a, const Tensor& b, double floor = 1e-300) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0, largest = floor;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    largest = std::max(largest, std::abs(b.at(i)));
  }
  return worst / largest;
}

}  // namespace rulegrad::testing
