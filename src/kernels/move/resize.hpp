#pragma once

#include <cstdint>
#include <span>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// ONNX Resize of `planes` arrays over one to three spatial axes. `scales` are those of the model, empty for
/// out / in; coordinates are computed in float64. Linear is multilinear and clamps at the border.
struct ResizeGeometry {
  DimsView in, out;
  std::span<const double> scales;
  ResizeMode mode = ResizeMode::nearest;
  ResizeCoordinates coordinates = ResizeCoordinates::half_pixel;
  NearestRounding rounding = NearestRounding::round_prefer_floor;
};

/// T = float, double.
template <class T>
void resize(const ResizeGeometry& geometry, std::int64_t planes, const T* x, T* y);
/// The adjoint: gx [planes, in...] from g [planes, out...].
template <class T>
void resize_adjoint(const ResizeGeometry& geometry, std::int64_t planes, const T* g, T* gx);

}  // namespace rulegrad::kernels
