#pragma once

#include <cstdint>
#include <string>

#include "rulegrad/support/error.hpp"

/// Arithmetic on extents, counts and bytes that refuses to wrap: a wrapped count would let a kernel write
/// beyond its memory.
namespace rulegrad::checked {

[[noreturn]] inline void refuse(const char* what) {
  throw Error(ErrorCode::shape, std::string("[shape] ") + what + " does not fit into 64 bits");
}

/// a * b; Error(shape) that says `what` when it does not fit.
[[nodiscard]] inline std::int64_t product(std::int64_t a, std::int64_t b,
                                          const char* what = "the number of elements") {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) refuse(what);
  return result;
}

}  // namespace rulegrad::checked
