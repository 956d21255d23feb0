#pragma once

#include <string>

#include "onnx/node_context.hpp"

namespace rulegrad::io {

/// How ONNX's Resize makes one axis of another, in its words.
struct Resampling {
  std::string mode = "nearest", coordinates = "half_pixel", rounding = "round_prefer_floor";
  double cubic_a = -0.75, extrapolation = 0;
  bool antialias = false, exclude_outside = false;
};

/// x with `extent` elements along the axis, each a weighted sum of those there: a product with a constant
/// matrix. `scale` is the file's, `start` and `stop` the part of the axis that tf_crop_and_resize takes.
[[nodiscard]] Expr resampled(const NodeContext& c, Expr x, std::size_t axis, std::int64_t extent,
                             double scale, const Resampling& how, double start = 0, double stop = 1);

}  // namespace rulegrad::io
