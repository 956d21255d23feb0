#include "rulegrad/prove/verify.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <random>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/evaluate_term.hpp"

namespace rulegrad {
namespace {

constexpr std::int64_t samples = 2;

/// Exporters write constants such as the square root of 2 as float32 into networks of float64.
double tolerance(DType dtype) {
  return dtype == DType::float64 ? 1e-7 : 1e-4;
}

Inputs random_inputs(std::span<const Expr> roots) {
  std::mt19937_64 random(20240229);
  Inputs inputs;
  for (const Expr node : topological_order(roots)) {
    if (!is_input(node)) continue;
    Dims dims;
    for (const Dim dim : node.shape().dims()) dims.push_back(dim.factor * (dim.batch ? samples : 1));
    Tensor value = Tensor::full(DType::float64, dims, 0);
    std::normal_distribution<double> normal;
    std::bernoulli_distribution coin;
    for (double& element : value.mutable_values<double>())
      element = is_floating(node.dtype()) ? normal(random) : (coin(random) ? 1 : 0);
    inputs.emplace(node.attributes<InputAttributes>().name, value.cast(node.dtype()));
  }
  return inputs;
}

struct Difference {
  double most = 0, largest = 0;
  [[nodiscard]] bool within(double share) const { return most <= share * std::max(largest, 1e-30); }
};

/// Values that are no numbers on one side only are an infinite difference.
Difference between(const Tensor& before, const Tensor& after) {
  Difference result;
  const Tensor a = before.cast(DType::float64), b = after.cast(DType::float64);
  if (a.size() != b.size()) return {INFINITY, 0};
  for (std::size_t i = 0; i < a.values<double>().size(); ++i) {
    const double u = a.values<double>()[i], v = b.values<double>()[i];
    if (u == v || (std::isnan(u) && std::isnan(v))) continue;
    result.most = std::isfinite(u - v) ? std::max(result.most, std::abs(u - v)) : INFINITY;
  }
  for (const double u : a.values<double>())
    if (std::isfinite(u)) result.largest = std::max(result.largest, std::abs(u));
  return result;
}

/// Each rewrite on its own: its node before and after, of the same operands.
std::string culprits(const Analysis& analysis, CompileOptions options) {
  std::vector<Expr> pairs;
  for (const ForwardRewrite& rewrite : analysis.rewrites) {
    pairs.push_back(rewrite.before);
    pairs.push_back(rewrite.after);
  }
  const std::vector<Tensor> values = Program::compile(pairs, options).run(random_inputs(pairs));
  std::string text;
  for (std::size_t i = 0; i < analysis.rewrites.size(); ++i) {
    const ForwardRewrite& rewrite = analysis.rewrites[i];
    const Difference difference = between(values[2 * i], values[2 * i + 1]);
    if (difference.within(tolerance(rewrite.before.dtype()))) continue;
    text +=
        fmt::format("\n  {}{} changes {} by {:.3g}, where it is as large as {:.3g}", at_place(rewrite.where),
                    rewrite.rule_set, describe(rewrite.before), difference.most, difference.largest);
  }
  return text;
}

}  // namespace

CanonizerProof prove_canonizers(Expr output, const Analysis& analysis, const CompileOptions& given) {
  CanonizerProof proof{.rewrites = analysis.rewrites.size(), .difference = 0, .largest = 0};
  if (analysis.rewrites.empty() || output == analysis.output) return proof;
  CompileOptions options = given;
  options.check_finite = options.check_inputs = false;
  const std::vector<Expr> pair{output, analysis.output};
  const std::vector<Tensor> values = Program::compile(pair, options).run(random_inputs(pair));
  const Difference difference = between(values[0], values[1]);
  proof.difference = difference.most;
  proof.largest = difference.largest;
  if (difference.within(tolerance(output.dtype()))) return proof;
  const std::string which = culprits(analysis, options);
  throw Error(ErrorCode::rule,
              fmt::format("canonizers must leave the output as it is, but on random inputs it changes by "
                          "{:.3g}, where it is as large as {:.3g}{}",
                          difference.most, difference.largest,
                          which.empty() ? std::string("; no single rule does it") : ":" + which));
}

}  // namespace rulegrad
