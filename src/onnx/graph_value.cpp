#include "onnx/graph_value.hpp"

#include <algorithm>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

namespace rulegrad::io {

bool Symbolic::has_batch() const {
  return std::any_of(elements.begin(), elements.end(), [](Dim element) { return element.batch; });
}

std::optional<double> uniform_value(Expr expr) {
  constexpr std::int64_t most_looked_through = 4096;
  while (expr.is("expand")) expr = expr.operand(0);
  if (const auto* fill = fill_of(expr)) return fill->value;
  if (!is_constant(expr)) return std::nullopt;
  const Tensor& value = *array_of(expr);
  if (value.size() == 0 || value.size() > most_looked_through) return std::nullopt;
  const double first = value.at(0);
  for (std::int64_t i = 1; i < value.size(); ++i)
    if (value.at(i) != first) return std::nullopt;
  return first;
}

std::optional<Dim> multiplied(Dim a, Dim b) {
  std::int64_t product = 0;
  if ((a.batch && b.batch) || __builtin_mul_overflow(a.factor, b.factor, &product)) return std::nullopt;
  return Dim(product, (a.batch || b.batch) && product != 0);
}

std::optional<Dim> divided(Dim a, Dim b) {
  if (b.factor == 0 || (b.batch && !a.batch) || (b.factor == -1 && a.factor == INT64_MIN))
    return std::nullopt;
  if (a.batch && a.factor % b.factor != 0) return std::nullopt;
  return Dim(a.factor / b.factor, a.batch && !b.batch);
}

std::optional<Dim> added(Dim a, Dim b, std::int64_t sign) {
  if (a.factor == 0 && sign == 1) return b;
  if (b.factor == 0) return a;
  std::int64_t sum = 0;
  const bool overflow = sign > 0 ? __builtin_add_overflow(a.factor, b.factor, &sum)
                                 : __builtin_sub_overflow(a.factor, b.factor, &sum);
  if (a.batch != b.batch || overflow) return std::nullopt;
  return Dim(sum, a.batch && sum != 0);
}

}  // namespace rulegrad::io
