#include "onnx/resampling.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

/// Keys' cubic (1981, doi 10.1109/TASSP.1981.1163711, eq. 15 for a = -1/2).
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

struct Axis {
  std::int64_t in, out;
  double scale, start, stop;
};

/// Where element i of the result lies; nothing outside of what tf_crop_and_resize knows.
std::optional<double> place(const Axis& axis, const Resampling& how, std::int64_t i) {
  const auto in = static_cast<double>(axis.in), out = static_cast<double>(axis.out),
             x = static_cast<double>(i);
  const double exact = axis.scale * in;
  if (how.coordinates == "align_corners") return exact == 1 ? 0 : x * (in - 1) / (exact - 1);
  if (how.coordinates == "asymmetric") return x / axis.scale;
  if (how.coordinates == "pytorch_half_pixel" && exact == 1) return -0.5;
  if (how.coordinates == "half_pixel_symmetric")
    return in / 2 * (1 - out / exact) + (x + 0.5) / axis.scale - 0.5;
  if (how.coordinates != "tf_crop_and_resize") return (x + 0.5) / axis.scale - 0.5;
  const double at =
      axis.start * (in - 1) + (exact == 1 ? (axis.stop - axis.start) * (in - 1) / 2
                                          : x * (axis.stop - axis.start) * (in - 1) / (exact - 1));
  return at < 0 || at > in - 1 ? std::nullopt : std::optional(at);
}

double nearest(double at, const std::string& rounding) {
  if (rounding == "floor") return std::floor(at);
  if (rounding == "ceil") return std::ceil(at);
  const double below = std::floor(at), beyond = at - below;
  if (rounding == "round_prefer_ceil") return beyond < 0.5 ? below : below + 1;
  return beyond <= 0.5 ? below : below + 1;
}

/// Weights of the elements of the axis for the place `at`, added to `row`.
void add_weights(const Axis& axis, const Resampling& how, double at, double* row) {
  const auto add = [&](double i, double weight) {
    const auto inside = static_cast<std::int64_t>(std::clamp(i, 0.0, static_cast<double>(axis.in - 1)));
    row[inside] += weight;
  };
  if (how.mode == "nearest") return add(nearest(at, how.rounding), 1);
  const bool is_cubic = how.mode == "cubic";
  const double scale = how.antialias ? std::min(axis.scale, 1.0) : 1, reach = (is_cubic ? 2 : 1) / scale;
  const auto weight_of = [&](double i) {
    const double distance = (i - at) * scale;
    const double weight = is_cubic ? cubic(distance, how.cubic_a) : std::max(0.0, 1 - std::abs(distance));
    return how.exclude_outside && (i < 0 || i >= static_cast<double>(axis.in)) ? 0 : weight;
  };
  const double first = std::floor(at - reach), last = std::ceil(at + reach);
  double sum = 0;
  for (double i = first; i <= last; ++i) sum += weight_of(i);
  const bool normalised = how.antialias || how.exclude_outside;
  for (double i = first; i <= last; ++i)
    if (const double weight = weight_of(i); weight != 0) add(i, normalised ? weight / sum : weight);
}

}  // namespace

Expr resampled(const NodeContext& c, Expr x, std::size_t axis, std::int64_t extent, double scale,
               const Resampling& how, double start, double stop) {
  const Dim given = x.shape()[axis];
  if (given.batch)
    c.fail(fmt::format("axis {} of {} is the batch, which cannot be resized", axis, to_string(x.type())));
  if (extent < 1 || given.factor < 1 ||
      static_cast<double>(extent) * static_cast<double>(given.factor) > 0x1p26)
    c.fail(fmt::format("axis {} of {} cannot get the extent {}", axis, to_string(x.type()), extent));
  const Axis along{given.factor, extent, scale, start, stop};
  Tensor weights = c.array(DType::float64, {extent, given.factor}),
         outside = c.array(DType::float64, {extent});
  bool any_outside = false;
  for (std::int64_t i = 0; i < extent; ++i) {
    const auto at = place(along, how, i);
    if (at && !(std::abs(*at) < 0x1p52))
      c.fail(fmt::format("element {} of axis {} would lie at {}", i, axis, *at));
    if (at)
      add_weights(along, how, *at, weights.mutable_values<double>().data() + i * given.factor);
    else
      outside.mutable_values<double>()[static_cast<std::size_t>(i)] = how.extrapolation;
    any_outside = any_outside || (!at && how.extrapolation != 0);
  }
  const std::size_t last = x.shape().rank() - 1;
  const Expr moved = moved_axis(c, x, axis, last);
  const Expr rows = x.shape().rank() == 1 ? reshaped(c, moved, {1, given}) : moved;
  Expr y =
      c.apply("matmul", {rows, c.graph().constant(weights.cast(x.dtype()))}, MatmulAttributes{false, true});
  if (any_outside) y = c.apply("add", {y, c.graph().constant(outside.cast(x.dtype()))});
  if (x.shape().rank() == 1) y = reshaped(c, y, {extent});
  return moved_axis(c, y, last, axis);
}

}  // namespace rulegrad::io
