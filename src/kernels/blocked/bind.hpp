#pragma once

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::blocked {

/// Lets the pooling kernels of `all` stay in blocks of channels where their operand lies in blocks.
void bind_all(Kernels& all);

}  // namespace rulegrad::kernels::blocked
