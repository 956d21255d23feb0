#include "ops/steps.hpp"

#include "rulegrad/ops/op_attributes.hpp"

namespace rulegrad {
namespace {

/// Halving keeps what the derivative adds up for one step from having the size of all of them: n steps cost n
/// log n and not n^2.
void cut_halves(const Application& apply, Expr x, std::size_t axis, std::vector<Expr>& into) {
  const auto along = static_cast<std::int64_t>(axis);
  const std::int64_t extent = x.shape()[axis].factor;
  if (extent == 0) return;
  if (extent == 1) {
    std::vector<Dim> dims = x.shape().dims();
    dims.erase(dims.begin() + along);
    into.push_back(apply("reshape", {x}, ShapeAttributes{Shape(std::move(dims))}));
    return;
  }
  for (const auto& [from, to] : {std::pair(std::int64_t{0}, extent / 2), std::pair(extent / 2, extent)})
    cut_halves(apply, apply("slice", {x}, SliceAttributes{{along}, {from}, {to}, {1}}), axis, into);
}

}  // namespace

std::vector<Expr> cut_steps(const Application& apply, Expr x, std::size_t axis) {
  std::vector<Expr> steps;
  cut_halves(apply, x, axis, steps);
  return steps;
}

Expr join_steps(const Application& apply, std::span<const Expr> steps, std::size_t axis) {
  std::vector<Expr> parts;
  for (const Expr step : steps) {
    std::vector<Dim> dims = step.shape().dims();
    dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), Dim{1});
    parts.push_back(apply("reshape", {step}, ShapeAttributes{Shape(std::move(dims))}));
  }
  return parts.size() == 1 ? parts[0]
                           : apply("concat", parts, AxisAttributes{static_cast<std::int64_t>(axis)});
}

}  // namespace rulegrad
