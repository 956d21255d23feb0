#pragma once

#include <cmath>
#include <concepts>
#include <limits>

#include "rulegrad/tensor/dtype.hpp"

namespace rulegrad {

/// Is `value` one of the numbers of `dtype`, up to rounding of floating ones? What is not has no conversion: it
/// would be another number on each machine.
[[nodiscard]] inline bool holds(DType dtype, double value) {
  return dispatch(dtype, [&]<class T>(T) {
    if constexpr (std::floating_point<T>) return true;
    if constexpr (std::same_as<T, bool>) return value == 0 || value == 1;
    // The largest of 64 bits is no double: the bound is the power of two above it.
    const double bound = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return value == std::trunc(value) && value < bound &&
           value >= static_cast<double>(std::numeric_limits<T>::lowest());
  });
}

/// The number of `dtype` that `value`, which it holds, becomes there: rounded where that is float32.
[[nodiscard]] inline double as_held(DType dtype, double value) {
  return dtype == DType::float32 ? static_cast<float>(value) : value;
}

}  // namespace rulegrad
