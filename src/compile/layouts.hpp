#pragma once

#include "compile/flow.hpp"

namespace rulegrad {

/// Gives values the memory layouts that kernels ask for (`Kernel::layouts`) and puts copies between those
/// that differ. Kernels that compute element by element work in the layout of what they are given; everything
/// else, the inputs and the outputs stay row-major. Copies of constants are constants of the store. Only
/// channels that are whole blocks are blocked, so that no element is added.
[[nodiscard]] Flow with_layouts(Flow flow, ConstantStore& store);

}  // namespace rulegrad
