#pragma once

#include <cstdint>
#include <span>

namespace rulegrad::kernels {

/// Extents, outermost first, of a row-major contiguous array.
using DimsView = std::span<const std::int64_t>;

/// The product of extents; 1 for none.
[[nodiscard]] constexpr std::int64_t count_of(DimsView dims) {
  std::int64_t n = 1;
  for (const auto d : dims) n *= d;
  return n;
}

}  // namespace rulegrad::kernels
