#include "onnx/small_numbers.hpp"

#include <cmath>
#include <limits>

namespace rulegrad::io {
namespace {

/// A number of `exponent_bits` and `fraction_bits` behind a sign, as IEEE 754 reads them with this bias.
float small_float(unsigned bits, int exponent_bits, int fraction_bits, int bias) {
  const unsigned fraction = bits & ((1U << fraction_bits) - 1U);
  const unsigned exponent = (bits >> fraction_bits) & ((1U << exponent_bits) - 1U);
  const bool negative = ((bits >> (exponent_bits + fraction_bits)) & 1U) != 0;
  const float part = static_cast<float>(fraction) / static_cast<float>(1U << fraction_bits);
  const float size =
      exponent == 0 ? std::ldexp(part, 1 - bias) : std::ldexp(1 + part, static_cast<int>(exponent) - bias);
  return negative ? -size : size;
}

/// OCP 8-bit floating point (rev. 1.0) and its variants without infinities and negative zero.
float decoded(int type, unsigned bits) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(),
                  infinity = std::numeric_limits<float>::infinity();
  switch (type) {
    case 17:  // E4M3FN
      return (bits & 0x7FU) == 0x7FU ? nan : small_float(bits, 4, 3, 7);
    case 18:  // E4M3FNUZ
      return bits == 0x80U ? nan : small_float(bits, 4, 3, 8);
    case 19:  // E5M2
      if ((bits & 0x7FU) > 0x7CU) return nan;
      if ((bits & 0x7FU) == 0x7CU) return (bits & 0x80U) != 0 ? -infinity : infinity;
      return small_float(bits, 5, 2, 15);
    case 20:  // E5M2FNUZ
      return bits == 0x80U ? nan : small_float(bits, 5, 2, 16);
    case 23:  // E2M1
      return small_float(bits, 2, 1, 1);
    default:  // E8M0, a power of 2
      return bits == 0xFFU ? nan : std::ldexp(1.0F, static_cast<int>(bits) - 127);
  }
}

}  // namespace

std::optional<SmallType> small_type(int onnx_type) {
  switch (onnx_type) {
    case 17:
    case 18:
    case 19:
    case 20:
    case 24:
      return SmallType{SmallKind::floating, 8, true};
    case 23:
      return SmallType{SmallKind::floating, 4, true};
    case 21:
      return SmallType{SmallKind::integer, 4, false};
    case 22:
      return SmallType{SmallKind::integer, 4, true};
    case 25:
      return SmallType{SmallKind::integer, 2, false};
    case 26:
      return SmallType{SmallKind::integer, 2, true};
    default:
      return std::nullopt;
  }
}

std::size_t small_bytes(SmallType type, std::int64_t count) {
  return (static_cast<std::size_t>(count) * static_cast<std::size_t>(type.bits) + 7) / 8;
}

std::vector<float> small_values(int onnx_type, std::int64_t count, std::span<const std::byte> bytes) {
  const SmallType type = *small_type(onnx_type);
  const auto bits = static_cast<unsigned>(type.bits), per_byte = 8 / bits, mask = (1U << bits) - 1U;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const unsigned raw = (std::to_integer<unsigned>(bytes[i / per_byte]) >> (bits * (i % per_byte))) & mask;
    if (type.kind == SmallKind::floating)
      values[i] = decoded(onnx_type, raw);
    else
      values[i] = type.is_signed && (raw >> (bits - 1)) != 0
                      ? static_cast<float>(raw) - static_cast<float>(1U << bits)
                      : static_cast<float>(raw);
  }
  return values;
}

}  // namespace rulegrad::io
