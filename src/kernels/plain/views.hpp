#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"

#include "kernels/common/dims.hpp"
#include "kernels/common/xt.hpp"

/// Memory of kernels as xtensor sees it.
namespace rulegrad::kernels::plain {

using Extents = std::vector<std::size_t>;
using Steps = std::vector<std::ptrdiff_t>;

[[nodiscard]] inline Extents extents(DimsView dims) {
  return {dims.begin(), dims.end()};
}

/// Row-major steps, those of extent 1 included.
[[nodiscard]] inline Steps steps(DimsView dims) {
  Steps result(dims.size());
  std::ptrdiff_t step = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    result[i] = step;
    step *= dims[i];
  }
  return result;
}

/// `memory` as an array of these extents; it stays the caller's.
template <class T>
[[nodiscard]] auto array(T* memory, DimsView dims) {
  return xt::adapt(memory, static_cast<std::size_t>(count_of(dims)), xt::no_ownership(), extents(dims));
}

/// The elements of `whole` at `offset` + i * step..., any steps: what moves elements, without moving them.
template <class Array>
[[nodiscard]] auto strided(Array& whole, Extents shape, Steps step, std::int64_t offset) {
  return xt::strided_view(whole, std::move(shape), std::move(step), static_cast<std::size_t>(offset),
                          xt::layout_type::dynamic);
}

/// A box of an array: `count` elements from `start` on along each axis, `stride` apart.
struct Box {
  Extents count;
  Steps step;
  std::int64_t offset = 0;

  Box(DimsView dims, DimsView start, DimsView stride, DimsView counts)
      : count(extents(counts)), step(steps(dims)) {
    for (std::size_t i = 0; i < dims.size(); ++i) {
      offset += start[i] * step[i];
      step[i] *= stride[i];
    }
  }
  template <class Array>
  [[nodiscard]] auto of(Array& whole) const {
    return strided(whole, count, step, offset);
  }
};

}  // namespace rulegrad::kernels::plain
