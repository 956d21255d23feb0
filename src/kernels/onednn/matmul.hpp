#pragma once

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::onednn {

/// The products of `portable`, prepared with oneDNN for so many rows that arithmetic limits them and not
/// reading the weight.
[[nodiscard]] Kernel dense(const Kernel& portable);
[[nodiscard]] Kernel matmul(const Kernel& portable);

}  // namespace rulegrad::kernels::onednn
