#pragma once

#include <random>
#include <utility>

#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad {

/// Values between -1 and 1.
inline Tensor random_tensor(std::mt19937& random, Dims dims) {
  std::uniform_real_distribution<float> next(-1, 1);
  Tensor result(DType::float32, std::move(dims));
  for (float& value : result.mutable_values<float>()) value = next(random);
  return result;
}

}  // namespace rulegrad
