#pragma once

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::onednn {

/// x [rows, depth] times w, [columns, depth] if it is transposed, [depth, columns] otherwise. `biased`: operand 2 is a
/// number for each column.
struct Product {
  std::int64_t rows, depth, columns;
  bool transposed, biased;
};

/// Adds operand 2, where there is one and it is no absent bias, to the result.
void add_bias(const KernelCall& call);

/// The products of `portable`, prepared with oneDNN for so many rows that arithmetic limits them and not
/// reading the weight.
[[nodiscard]] Kernel dense(const Kernel& portable);
[[nodiscard]] Kernel matmul(const Kernel& portable);

}  // namespace rulegrad::kernels::onednn
