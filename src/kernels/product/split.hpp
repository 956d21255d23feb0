#pragma once

#include <cstdint>

namespace rulegrad::kernels {

/// Numbers as sums of two bfloat16 numbers, as bits: `high` the nearest one, `low` the nearest one to what that leaves.
/// A sum is off by 2^-17 of the number at most, or by 2^-126 where that is more. NaN and infinities stay what they are,
/// and 0 is 0 and 0.
void split(std::int64_t count, const float* values, std::uint16_t* high, std::uint16_t* low);

}  // namespace rulegrad::kernels
