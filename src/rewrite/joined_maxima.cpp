#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/language_words.hpp"

/// A maximum of maxima is one maximum, over all that both look at.
namespace rulegrad {
namespace {

/// The axes of both, as those of what the lower one reduces. Both keep their axes, or neither does.
std::optional<ReduceAttributes> joined(const ReduceAttributes& upper, const ReduceAttributes& lower,
                                       std::size_t rank) {
  if (upper.keep != lower.keep) return std::nullopt;
  std::vector<std::int64_t> left;
  for (std::int64_t axis = 0; axis < static_cast<std::int64_t>(rank); ++axis)
    if (upper.keep || std::find(lower.axes.begin(), lower.axes.end(), axis) == lower.axes.end())
      left.push_back(axis);
  ReduceAttributes result = lower;
  for (const std::int64_t axis : upper.axes) {
    const std::int64_t original = left[static_cast<std::size_t>(axis)];
    if (std::find(result.axes.begin(), result.axes.end(), original) == result.axes.end())
      result.axes.push_back(original);
  }
  std::sort(result.axes.begin(), result.axes.end());
  return result;
}

/// A window of windows, where it has no gaps and its padding hides nothing.
std::optional<PoolAttributes> joined(const PoolAttributes& upper, const PoolAttributes& lower) {
  if (upper.ceil || lower.ceil) return std::nullopt;
  PoolAttributes result = lower;
  for (std::size_t i = 0; i < lower.kernel.size(); ++i) {
    const std::int64_t step = upper.dilations[i] * lower.strides[i];
    if (upper.kernel[i] == 1) {
      // As wide as the lower one.
    } else if (lower.kernel[i] == 1) {
      result.kernel[i] = upper.kernel[i];
      result.dilations[i] = step;
    } else if (lower.dilations[i] == 1 && step <= lower.kernel[i]) {
      result.kernel[i] = lower.kernel[i] + (upper.kernel[i] - 1) * step;
    } else {
      return std::nullopt;
    }
    if (upper.pads_begin[i] != 0 || upper.pads_end[i] != 0) {
      // Windows that the padding stands for would see no more than the outermost one does.
      if (lower.strides[i] != 1 || lower.dilations[i] != 1 || upper.dilations[i] != 1) return std::nullopt;
      result.pads_begin[i] += upper.pads_begin[i];
      result.pads_end[i] += upper.pads_end[i];
    }
    result.strides[i] = lower.strides[i] * upper.strides[i];
  }
  return result;
}

/// The maximum `y` of the maxima `z`.
std::optional<Expr> joined(Expr y, Expr z) {
  if (&y.op() != &z.op() || y.operands().empty() || y.operand(0) != z) return std::nullopt;
  Attributes attributes;
  if (y.is("amax")) {
    const auto axes = joined(y.attributes<ReduceAttributes>(), z.attributes<ReduceAttributes>(),
                             z.operand(0).shape().rank());
    if (!axes) return std::nullopt;
    attributes = *axes;
  } else if (y.is("max_pool")) {
    const auto window = joined(y.attributes<PoolAttributes>(), z.attributes<PoolAttributes>());
    if (!window) return std::nullopt;
    attributes = *window;
  } else {
    return std::nullopt;
  }
  const Expr result = y.graph().apply(y.op(), {z.operand(0)}, attributes);
  return result.type() == y.type() ? std::optional(result) : std::nullopt;
}

}  // namespace

namespace answers {

Value joins_maxima(const ValueCall& call) {
  return joined(call.expr(0), call.expr(1)) ? 1.0 : 0.0;
}
Value joined_maxima(const ValueCall& call) {
  if (const auto result = joined(call.expr(0), call.expr(1))) return *result;
  throw Error(ErrorCode::rule, fmt::format("{} and {} are no maximum of maxima that can be taken at once",
                                           describe(call.expr(0)), describe(call.expr(1))));
}

}  // namespace answers
}  // namespace rulegrad
