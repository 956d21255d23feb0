#include "kernels/product/split.hpp"

#include <bit>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::uint32_t exponent = 0x7F800000U;

bool is_special(std::uint32_t bits) {
  return (bits & exponent) == exponent;
}

/// The nearest bfloat16 number, the even one of two. What would round to infinity is cut instead; NaN keeps a bit that
/// says so.
std::uint32_t nearest(std::uint32_t bits) {
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U;
  const bool nan = is_special(bits) && (bits & 0x007FFFFFU) != 0;
  const std::uint32_t cut = (bits & 0xFFFF0000U) | (nan ? 0x00400000U : 0U);
  return is_special(bits) || is_special(rounded) ? cut : rounded;
}

}  // namespace

void split(std::int64_t count, const float* values, std::uint16_t* high, std::uint16_t* low) {
  parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
    vectorised([&] {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint32_t first = nearest(std::bit_cast<std::uint32_t>(values[i]));
        const float rest = values[i] - std::bit_cast<float>(first);
        // Beside infinity and NaN nothing is left.
        const std::uint32_t second = is_special(first) ? 0U : nearest(std::bit_cast<std::uint32_t>(rest));
        high[i] = static_cast<std::uint16_t>(first >> 16U);
        low[i] = static_cast<std::uint16_t>(second >> 16U);
      }
    });
  });
}

}  // namespace rulegrad::kernels
