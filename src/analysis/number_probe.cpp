#include "analysis/number_probe.hpp"

#include "rulegrad/op_attributes.hpp"
#include "rulegrad/operators.hpp"

namespace rulegrad::probe {
namespace {

Expr wide(Expr expr) {
  return expr.dtype() == DType::float64 ? expr : expr.graph().apply(op("cast"), {expr}, CastAttributes{DType::float64});
}

Expr reduced(std::string_view reduction, Expr expr) {
  return expr.graph().apply(op(reduction), {expr}, ReduceAttributes{});
}

}  // namespace

Expr sum(Expr expr) { return reduced("sum", wide(expr)); }
Expr sum_of_sizes(Expr expr) { return sum(expr.graph().apply(op("abs"), {expr})); }
Expr amax_of_sizes(Expr expr) { return amax(expr.graph().apply(op("abs"), {expr})); }
Expr amin(Expr expr) { return reduced("amin", wide(expr)); }
Expr amax(Expr expr) { return reduced("amax", wide(expr)); }

Expr share_below_zero(Expr expr) {
  const Expr below = expr.graph().apply(op("less"), {expr, expr.graph().scalar(0, expr.dtype())});
  return reduced("mean", expr.graph().apply(op("cast"), {below}, CastAttributes{DType::float64}));
}

double value(const Tensor& result) {
  double sum = 0;
  for (std::int64_t i = 0; i < result.size(); ++i) sum += result.at(i);
  return result.size() == 0 ? 0 : sum / static_cast<double>(result.size());
}

}  // namespace rulegrad::probe
