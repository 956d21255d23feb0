#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/shape.hpp"

namespace rulegrad {

/// Position of the first NaN or infinity; nothing if all are finite. Integers and booleans always are.
[[nodiscard]] std::optional<std::int64_t> first_non_finite(DType dtype, const std::byte* data,
                                                           std::int64_t count);

/// Throws Error(non_finite): `[who] verb nan at [0, 2, 17]; advice`. `place` is the position that the message
/// tells, if it is not that in memory.
[[noreturn]] void fail_non_finite(const std::string& who, const char* verb, const char* advice, DType dtype,
                                  std::span<const std::int64_t> dims, const std::byte* data,
                                  std::int64_t position, std::optional<std::int64_t> place = {});
/// The same of a value that is known, `place` in an array of these extents.
[[noreturn]] void fail_non_finite(const std::string& who, const char* verb, const char* advice,
                                  std::span<const std::int64_t> dims, double value, std::int64_t place);

}  // namespace rulegrad
