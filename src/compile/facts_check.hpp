#pragma once

#include <string>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/tensor/shape.hpp"

#include "passes/intervals.hpp"

namespace rulegrad {

/// The environment variable RULEGRAD_CHECK_FACTS is 1.
[[nodiscard]] bool facts_check_wanted();

/// Throws Error(internal) for the first finite element outside of what was inferred: `[conv 'a' float32[...]]
/// gave -0.25 at [0, 3], but was inferred to lie in [0, inf]; ...`. What is not finite was divided by 0 or
/// overflowed; no fact speaks of it. `block` is that of the layout that the values lie in.
void require_interval(const std::string& label, const Interval& interval, DType dtype, const Shape& shape,
                      const Extents& extents, std::int64_t block, const std::byte* data);

}  // namespace rulegrad
