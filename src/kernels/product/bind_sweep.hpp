#pragma once

#include <vector>

#include "rulegrad/kernels/kernel.hpp"

#include "kernels/product/sweep.hpp"

namespace rulegrad::kernels {

/// Products of several operands with functions of the weight, operand 0.
struct SweepDescription {
  struct Product {
    std::size_t x;         ///< its operand
    std::size_t bias = 0;  ///< its operand; 0: there is none
    std::size_t function;  ///< of `functions`
  };
  bool transposed = false;        ///< the weight is [outputs, inputs]
  std::vector<Product> products;  ///< in the order of the results
  /// By bytes, as the dtype is the call's; an empty one is the identity.
  std::vector<std::function<void(std::int64_t count, const std::byte* in, std::byte* out)>> functions;
};
[[nodiscard]] Kernel sweep_kernel(SweepDescription description);

}  // namespace rulegrad::kernels
