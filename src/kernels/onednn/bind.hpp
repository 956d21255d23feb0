#pragma once

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::onednn {

/// Puts oneDNN's kernels in place of those of `all` that it is faster than.
void bind_all(Kernels& all);

}  // namespace rulegrad::kernels::onednn
