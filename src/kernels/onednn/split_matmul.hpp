#pragma once

#include <optional>

#include "kernels/onednn/matmul.hpp"

namespace rulegrad::kernels::onednn {

/// x w as the sum of three products of bfloat16 parts (kernels/product/split.hpp), high high + low high + high low, on
/// units that take sixteen times as many at once as those for float32 (AMX). An element is off by some 2^-16 of the sum
/// of the magnitudes of its terms, which are added up in float32; what is 0 because all its terms are stays 0. Nothing
/// where the processor has no such units, the weight is not constant, or too little is computed.
[[nodiscard]] std::optional<PreparedCall> split_matmul(const Preparation& preparation,
                                                       const Product& product);

}  // namespace rulegrad::kernels::onednn
