#pragma once

#include <cstdint>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad {

/// The index of the largest number of each row of [n, k]; the first of equal ones.
[[nodiscard]] inline std::vector<std::int64_t> largest_in_rows(const Tensor& rows) {
  std::vector<std::int64_t> result;
  const std::int64_t width = rows.dims()[1];
  for (std::int64_t row = 0; row < rows.dims()[0]; ++row) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < width; ++k)
      if (rows.at(row * width + k) > rows.at(row * width + best)) best = k;
    result.push_back(best);
  }
  return result;
}

}  // namespace rulegrad
