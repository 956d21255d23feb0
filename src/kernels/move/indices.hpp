#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <span>
#include <vector>

#include "rulegrad/support/error.hpp"

namespace rulegrad::kernels {

/// Indices that count from the front; looked through before threads start, which must not throw.
inline std::vector<std::int64_t> from_front(std::span<const std::int64_t> indices, std::int64_t extent,
                                            const char* op) {
  std::vector<std::int64_t> out;
  out.reserve(indices.size());
  for (const auto i : indices) {
    if (i < -extent || i >= extent)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[{}] index {} is outside an axis of extent {} (allowed: {} to {})", op, i,
                              extent, -extent, extent - 1));
    out.push_back(i < 0 ? i + extent : i);
  }
  return out;
}

}  // namespace rulegrad::kernels
