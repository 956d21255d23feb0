#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad {

/// What the axes of one sample mean. A vector has positions only; anything else has channels in front or
/// last.
struct SampleAxes {
  std::optional<std::size_t> channels;
  std::vector<std::size_t> positions;

  SampleAxes(const Dims& sample, io::Layout layout) {
    if (sample.size() > 1) channels = layout == io::Layout::nchw ? 0 : sample.size() - 1;
    for (std::size_t axis = 0; axis < sample.size(); ++axis)
      if (axis != channels) positions.push_back(axis);
  }
};

/// The extents of one of the samples [N, ...].
inline Dims sample_dims(const Tensor& samples) {
  return samples.rank() == 0 ? Dims{} : Dims(samples.dims().begin() + 1, samples.dims().end());
}

/// Where along an axis each element lies: its row-major number divided by `stride`, modulo the extent.
inline std::int64_t stride_of(const Dims& dims, std::size_t axis) {
  std::int64_t stride = 1;
  for (std::size_t k = axis + 1; k < dims.size(); ++k) stride *= dims[k];
  return stride;
}

}  // namespace rulegrad
