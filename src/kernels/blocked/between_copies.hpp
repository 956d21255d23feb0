#pragma once

#include <optional>

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::blocked {

/// The row-major kernel of a convolution between copies of what lies in blocks of channels in a call of these shapes;
/// nothing where nothing does.
[[nodiscard]] std::optional<PreparedCall> between_copies(const Kernel& row_major, const KernelCall& shapes);

}  // namespace rulegrad::kernels::blocked
