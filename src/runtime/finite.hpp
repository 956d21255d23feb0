#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "rulegrad/shape.hpp"
#include "rulegrad/dtype.hpp"

namespace rulegrad {

/// Position of the first NaN or infinity; nothing if all are finite. Integers and booleans always are.
[[nodiscard]] std::optional<std::int64_t> first_non_finite(DType dtype, const std::byte* data, std::int64_t count);

/// `nan at [0, 2, 17]`
[[nodiscard]] std::string describe_element(DType dtype, const std::byte* data, std::span<const std::int64_t> dims,
                                           std::int64_t position);

/// Throws Error(non_finite) `[who] holds nan at [0, 2, 17]; advice` if there is one.
void require_finite(const std::string& who, const char* verb, const char* advice, DType dtype,
                    std::span<const std::int64_t> dims, const std::byte* data);

}  // namespace rulegrad
