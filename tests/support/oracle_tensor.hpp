#pragma once

#include <span>

#include "rulegrad/tensor/tensor.hpp"

#include "oracle/arrays.hpp"

namespace rulegrad::testing {

/// The numbers of plain loops as an array of T.
template <class T = float>
[[nodiscard]] Tensor tensor(const oracle::Dims& dims, const oracle::Values& values) {
  return {Dims(dims), std::span<const T>(oracle::as<T>(values))};
}

}  // namespace rulegrad::testing
