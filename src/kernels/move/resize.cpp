#include "kernels/move/resize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

/// Output position o of one axis is (1 - upper) x[low] + upper x[high].
template <class T>
struct Axis {
  std::int64_t in = 1, out = 1;
  std::vector<std::int64_t> low{0}, high{0};
  std::vector<T> upper{T(0)};
};

double source_position(const ResizeGeometry& g, double o, double in, double out, double scale) {
  switch (g.coordinates) {
    case ResizeCoordinates::half_pixel:
      return (o + 0.5) / scale - 0.5;
    case ResizeCoordinates::pytorch_half_pixel:
      return out > 1 ? (o + 0.5) / scale - 0.5 : 0;
    case ResizeCoordinates::align_corners:
      return out > 1 ? o * (in - 1) / (out - 1) : 0;
    case ResizeCoordinates::asymmetric:
      return o / scale;
  }
  return o;
}

double rounded(NearestRounding rounding, double position) {
  switch (rounding) {
    case NearestRounding::round_prefer_floor:
      return std::ceil(position - 0.5);
    case NearestRounding::round_prefer_ceil:
      return std::floor(position + 0.5);
    case NearestRounding::floor:
      return std::floor(position);
    case NearestRounding::ceil:
      return std::ceil(position);
  }
  return position;
}

template <class T>
std::array<Axis<T>, 3> axes_of(const ResizeGeometry& g) {
  const std::size_t rank = g.in.size();
  if (rank < 1 || rank > 3 || g.out.size() != rank || (!g.scales.empty() && g.scales.size() != rank))
    throw Error(ErrorCode::shape,
                "[resize] expects one to three spatial axes, with an extent (and a scale) for each");
  std::array<Axis<T>, 3> axes;
  for (std::size_t k = 0; k < rank; ++k) {
    Axis<T>& axis = axes[3 - rank + k];
    axis = {g.in[k], g.out[k], {}, {}, {}};
    const auto in = static_cast<double>(axis.in), out = static_cast<double>(axis.out);
    const double scale = g.scales.empty() ? out / in : g.scales[k], last = in - 1;
    for (std::int64_t o = 0; o < axis.out; ++o) {
      const double position = source_position(g, static_cast<double>(o), in, out, scale);
      const double at =
          std::clamp(g.mode == ResizeMode::nearest ? rounded(g.rounding, position) : position, 0.0, last);
      const double low = std::floor(at);
      axis.low.push_back(static_cast<std::int64_t>(low));
      axis.high.push_back(std::min(static_cast<std::int64_t>(low) + 1, axis.in - 1));
      axis.upper.push_back(static_cast<T>(at - low));
    }
  }
  return axes;
}

/// The up to four rows that an output row reads, and their weights.
template <class T>
struct Rows {
  std::array<std::int64_t, 4> start;
  std::array<T, 4> weight;
  std::size_t count = 0;
};

template <class T>
Rows<T> rows_of(const std::array<Axis<T>, 3>& axes, std::size_t o0, std::size_t o1) {
  Rows<T> rows{};
  const T u0 = axes[0].upper[o0], u1 = axes[1].upper[o1];
  const auto add = [&](std::int64_t i0, std::int64_t i1, T weight) {
    if (weight == T(0)) return;
    rows.start[rows.count] = (i0 * axes[1].in + i1) * axes[2].in;
    rows.weight[rows.count++] = weight;
  };
  add(axes[0].low[o0], axes[1].low[o1], (T(1) - u0) * (T(1) - u1));
  add(axes[0].low[o0], axes[1].high[o1], (T(1) - u0) * u1);
  add(axes[0].high[o0], axes[1].low[o1], u0 * (T(1) - u1));
  add(axes[0].high[o0], axes[1].high[o1], u0 * u1);
  return rows;
}

}  // namespace

template <class T>
void resize(const ResizeGeometry& geometry, std::int64_t planes, const T* x, T* y) {
  const auto axes = axes_of<T>(geometry);
  const std::int64_t in_count = axes[0].in * axes[1].in * axes[2].in, rows = axes[0].out * axes[1].out;
  const std::int64_t width = axes[2].out;
  const bool nearest = geometry.mode == ResizeMode::nearest;
  parallel_each(planes * rows, width * 4, [&](std::int64_t task) {
    const std::int64_t row = task % rows;
    const T* const in = x + task / rows * in_count;
    T* const out = y + task * width;
    const auto from = rows_of(axes, static_cast<std::size_t>(row / axes[1].out),
                              static_cast<std::size_t>(row % axes[1].out));
    const std::int64_t* const low = axes[2].low.data();
    const std::int64_t* const high = axes[2].high.data();
    const T* const upper = axes[2].upper.data();
    vectorised([&] {
      if (nearest) {
        const T* const line = in + from.start[0];
        for (std::int64_t i = 0; i < width; ++i) out[i] = line[low[i]];
        return;
      }
      std::fill_n(out, width, T(0));
      for (std::size_t r = 0; r < from.count; ++r) {
        const T* const line = in + from.start[r];
        const T weight = from.weight[r];
        for (std::int64_t i = 0; i < width; ++i)
          out[i] += weight * ((T(1) - upper[i]) * line[low[i]] + upper[i] * line[high[i]]);
      }
    });
  });
}

template <class T>
void resize_adjoint(const ResizeGeometry& geometry, std::int64_t planes, const T* g, T* gx) {
  const auto axes = axes_of<T>(geometry);
  const std::int64_t in_count = axes[0].in * axes[1].in * axes[2].in, rows = axes[0].out * axes[1].out;
  const std::int64_t width = axes[2].out;
  parallel_each(planes, in_count + rows * width * 4, [&](std::int64_t plane) {
    T* const out = gx + plane * in_count;
    std::fill_n(out, in_count, T(0));
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto to = rows_of(axes, static_cast<std::size_t>(row / axes[1].out),
                              static_cast<std::size_t>(row % axes[1].out));
      const T* const from = g + (plane * rows + row) * width;
      for (std::size_t r = 0; r < to.count; ++r)
        for (std::int64_t i = 0; i < width; ++i) {
          const auto k = static_cast<std::size_t>(i);
          const T value = to.weight[r] * from[i], upper = axes[2].upper[k];
          out[to.start[r] + axes[2].low[k]] += (T(1) - upper) * value;
          if (upper != T(0)) out[to.start[r] + axes[2].high[k]] += upper * value;
        }
    }
  });
}

template void resize(const ResizeGeometry&, std::int64_t, const float*, float*);
template void resize(const ResizeGeometry&, std::int64_t, const double*, double*);
template void resize_adjoint(const ResizeGeometry&, std::int64_t, const float*, float*);
template void resize_adjoint(const ResizeGeometry&, std::int64_t, const double*, double*);

}  // namespace rulegrad::kernels
