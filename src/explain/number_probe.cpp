#include "explain/number_probe.hpp"

#include <algorithm>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/ops/samples.hpp"

namespace rulegrad::probe {
namespace {

Expr wide(Expr expr) {
  return expr.dtype() == DType::float64
             ? expr
             : expr.graph().apply(op("cast"), {expr}, CastAttributes{DType::float64});
}

Expr reduced(std::string_view reduction, Expr expr) {
  return expr.graph().apply(op(reduction), {expr}, ReduceAttributes{});
}

/// How many samples the loop at `depth` has that the expression depends on.
std::int64_t samples_of(Expr expr, std::int64_t depth) {
  const std::uint32_t bit = 1U << static_cast<unsigned>(depth);
  while (!expr.is("sample_index") || expr.attributes<SampleIndexAttributes>().depth != depth) {
    const auto operands = expr.operands();
    expr = *std::find_if(operands.begin(), operands.end(),
                         [&](Expr operand) { return (operand.loops() & bit) != 0; });
  }
  return expr.attributes<SampleIndexAttributes>().count;
}

/// What is outside of loops: the mean over their samples, or the largest of them; the innermost loop first.
Expr over_samples(Expr expr, SampleReduction kind) {
  for (std::int64_t depth = most_loops; depth-- > 0;)
    if ((expr.loops() >> static_cast<unsigned>(depth) & 1U) != 0)
      expr = expr.graph().apply(reduce_samples_schema(), {expr},
                                ReduceSamplesAttributes{kind, depth, samples_of(expr, depth)});
  return expr;
}

}  // namespace

Expr sum(Expr expr) {
  return over_samples(reduced("sum", wide(expr)), SampleReduction::mean);
}
Expr sum_of_sizes(Expr expr) {
  return sum(expr.graph().apply(op("abs"), {expr}));
}
Expr amax_of_sizes(Expr expr) {
  return amax(expr.graph().apply(op("abs"), {expr}));
}
Expr amax(Expr expr) {
  return over_samples(reduced("amax", wide(expr)), SampleReduction::max);
}

Expr amin(Expr expr) {
  Graph& graph = expr.graph();
  return graph.apply(
      op("neg"), {over_samples(graph.apply(op("neg"), {reduced("amin", wide(expr))}), SampleReduction::max)});
}

Expr share_below_zero(Expr expr) {
  const Expr below = expr.graph().apply(op("less"), {expr, expr.graph().scalar(0, expr.dtype())});
  return over_samples(
      reduced("mean", expr.graph().apply(op("cast"), {below}, CastAttributes{DType::float64})),
      SampleReduction::mean);
}

double value(const Tensor& result) {
  double sum = 0;
  for (std::int64_t i = 0; i < result.size(); ++i) sum += result.at(i);
  return result.size() == 0 ? 0 : sum / static_cast<double>(result.size());
}

}  // namespace rulegrad::probe
