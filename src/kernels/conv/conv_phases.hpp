#pragma once

#include <algorithm>
#include <vector>

#include "kernels/move/window.hpp"

namespace rulegrad::kernels {

/// The input positions of one axis that windows meet with the same kernel positions: every stride-th one.
struct Phase {
  std::int64_t first = 0, count = 0;
  std::vector<std::int64_t> kernel;  ///< kernel positions
  std::vector<std::int64_t> shift;   ///< output position read by the t-th input position: t + shift
};

inline std::vector<Phase> phases_of(const Window& w, std::size_t axis) {
  std::vector<Phase> phases;
  const std::int64_t stride = w.stride[axis], pad = w.pad_begin[axis];
  for (std::int64_t first = 0; first < std::min(stride, w.in[axis]); ++first) {
    Phase phase{first, (w.in[axis] - first + stride - 1) / stride, {}, {}};
    for (std::int64_t k = 0; k < w.kernel[axis]; ++k) {
      const std::int64_t distance = first + pad - k * w.dilation[axis];
      if (distance % stride != 0) continue;
      phase.kernel.push_back(k);
      phase.shift.push_back(distance / stride);
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

}  // namespace rulegrad::kernels
