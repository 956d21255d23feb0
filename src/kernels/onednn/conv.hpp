#pragma once

#include <optional>

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::onednn {

/// The convolutions of `portable`, prepared with oneDNN where that is faster (see `worth_it`).
[[nodiscard]] Kernel conv(const Kernel& portable);
[[nodiscard]] Kernel conv_transpose(const Kernel& portable);
[[nodiscard]] Kernel conv_weight_grad(const Kernel& portable);

}  // namespace rulegrad::kernels::onednn
