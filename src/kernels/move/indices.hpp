#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <span>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad::kernels {

/// The elements of an operand of indices.
inline std::vector<std::int64_t> indices_of(const ConstView& operand) {
  const auto count = static_cast<std::size_t>(operand.count());
  if (operand.dtype == DType::int64) return {operand.as<std::int64_t>(), operand.as<std::int64_t>() + count};
  if (operand.dtype != DType::int32)
    throw Error(ErrorCode::dtype, "[kernels] indices must be int32 or int64: cast them");
  return {operand.as<std::int32_t>(), operand.as<std::int32_t>() + count};
}

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
