#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

/// What the tests of the rule language share: random numbers, small networks, analyzers written in place.
namespace rulegrad::testing {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  Tensor tensor(Dims dims, double low = -1, double high = 1) {
    Tensor result = Tensor::full(DType::float64, std::move(dims), 0);
    std::uniform_real_distribution<double> uniform(low, high);
    for (double& v : result.mutable_values<double>()) v = uniform(random_);
    return result;
  }
  Expr weight(Graph& graph, Dims dims, double low = -1, double high = 1) {
    return graph.constant(tensor(std::move(dims), low, high));
  }
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }

 private:
  std::mt19937_64 random_;
};

inline double total(const Tensor& tensor) {
  double sum = 0;
  for (std::int64_t i = 0; i < tensor.size(); ++i) sum += tensor.at(i);
  return sum;
}

inline double largest(const Tensor& tensor) {
  double most = 0;
  for (std::int64_t i = 0; i < tensor.size(); ++i) most = std::max(most, std::abs(tensor.at(i)));
  return most;
}

inline double distance(const Tensor& a, const Tensor& b) {
  double most = a.dims() == b.dims() ? 0 : INFINITY;
  for (std::int64_t i = 0; most < INFINITY && i < a.size(); ++i)
    most = std::max(most, std::abs(a.at(i) - b.at(i)));
  return most;
}

/// The shipped rules and those of a text, which begins behind the version line.
inline RuleLibrary library_with(const std::string& text) {
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text("rulegrad 1\n" + text, "test.rules");
  return library;
}

inline Question question_about(Expr output, std::vector<Expr> explained) {
  Question question;
  question.output = output;
  question.explained = std::move(explained);
  question.target = output.graph().constant(Tensor({1}, {std::int64_t{0}}));
  return question;
}

/// The method's maps of the explained values.
inline std::vector<Tensor> maps(const RuleLibrary& library, const std::string& method,
                                const Question& question, const Inputs& inputs) {
  return evaluate(analyze(library, AnalyzerCall::parse(method), question).attributions, inputs);
}

/// `a` or a message instead of what was thrown.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace rulegrad::testing
