#include "onnx/steps.hpp"

#include "tensor/checked.hpp"

namespace rulegrad::io {
namespace {

/// Halving keeps what the derivative adds up for one step from having the size of all of them: n steps cost n
/// log n and not n^2.
void cut(const NodeContext& c, Expr x, std::size_t axis, std::vector<Expr>& into) {
  const auto along = static_cast<std::int64_t>(axis);
  const std::int64_t extent = x.shape()[axis].factor;
  if (extent == 0) return;
  if (extent == 1) {
    std::vector<Dim> dims = x.shape().dims();
    dims.erase(dims.begin() + along);
    into.push_back(reshaped(c, x, std::move(dims)));
    return;
  }
  for (const auto& [from, to] : {std::pair(std::int64_t{0}, extent / 2), std::pair(extent / 2, extent)})
    cut(c, c.apply("slice", {x}, SliceAttributes{{along}, {from}, {to}, {1}}), axis, into);
}

}  // namespace

std::vector<Expr> cut_steps(const NodeContext& context, Expr x, std::size_t axis) {
  std::vector<Expr> steps;
  // Some twice as many operations, of which each takes as much as this many numbers.
  context.spend_list(checked::product(x.shape()[axis].factor, 64));
  cut(context, x, axis, steps);
  return steps;
}

Expr join_steps(const NodeContext& context, const std::vector<Expr>& steps, std::size_t axis) {
  if (steps.empty()) context.fail("there are no steps, so the shape of what they give is unknown");
  std::vector<Expr> parts;
  for (const Expr step : steps) {
    std::vector<Dim> dims = step.shape().dims();
    dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), Dim{1});
    parts.push_back(reshaped(context, step, std::move(dims)));
  }
  return parts.size() == 1 ? parts[0]
                           : context.apply("concat", parts, AxisAttributes{static_cast<std::int64_t>(axis)});
}

}  // namespace rulegrad::io
