#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"

#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

namespace rulegrad {

std::vector<OpSchema> tree_operators() {
  OpSchema s;
  s.name = "tree_ensemble";
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) { return batches::but_along(value, operands, 1); };
  // Thresholds are compared with x; the others say where to go.
  s.decides = decisions::each({Asks::zero, Asks::zero, Asks::zero, Asks::zero, Asks::nothing});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.doc =
      "the sum over decision trees of the row of `values` that x [N, F] arrives at: [N, T]. A row of `nodes` "
      "is (feature, kind, where "
      "true, where false, where missing is true); kind 0 is a leaf of the row `where true`, 1 to 6 compare "
      "the feature with the threshold: "
      "<=, <, >=, >, =, unlike. It has no derivative: occlusion and Shapley values explain trees";
  s.operands = {{"x"},
                {"nodes", Role::parameter},
                {"thresholds", Role::parameter},
                {"roots", Role::parameter},
                {"values", Role::parameter}};
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    const Type &x = operands[0], &nodes = operands[1], &thresholds = operands[2], &roots = operands[3],
               &values = operands[4];
    infer::require("tree_ensemble", "x", x, infer::Numbers::floating);
    infer::require("tree_ensemble", "values", values, infer::Numbers::floating);
    const auto fail = [&](const std::string& what) { infer::fail("tree_ensemble", what); };
    if (x.shape.rank() != 2 || x.shape[1].batch)
      fail(fmt::format("x must be [N, F] but is {}", to_string(x)));
    if (nodes.dtype != DType::int64 || nodes.shape.rank() != 2 || !nodes.shape[1].is(5) ||
        nodes.shape.has_batch())
      fail(fmt::format("nodes must be int64[n, 5] but is {}", to_string(nodes)));
    if (thresholds.dtype != x.dtype || thresholds.shape != Shape{nodes.shape[0]})
      fail(fmt::format("thresholds must be a number for each of the nodes {} but is {}", to_string(nodes),
                       to_string(thresholds)));
    if (roots.dtype != DType::int64 || roots.shape.rank() != 1 || roots.shape.has_batch())
      fail(fmt::format("roots must be int64[trees] but is {}", to_string(roots)));
    if (values.dtype != x.dtype || values.shape.rank() != 2 || values.shape.has_batch())
      fail(fmt::format("values must be {}[leaves, T] but is {}", name_of(x.dtype), to_string(values)));
    return Type{x.dtype, Shape{x.shape[0], values.shape[1]}};
  };
  const auto places = [](Dims dims) {
    return ExampleOperand{.dims = std::move(dims), .low = 0, .high = 0, .dtype = DType::int64};
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}, places({4, 5}), {.dims = {4}}, places({3}), {.dims = {1, 2}}}, {}},
       {{{.dims = {3, 1}}, places({1, 5}), {.dims = {1}}, places({1}), {.dims = {2, 1}}}, {}}});
  return {std::move(s)};
}

}  // namespace rulegrad
