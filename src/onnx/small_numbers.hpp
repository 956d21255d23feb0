#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace rulegrad::io {

/// Element types that are narrower than a byte, or floating in a byte (ONNX's numbers 17 to 26).
enum class SmallKind : std::uint8_t { integer, floating };
struct SmallType {
  SmallKind kind = SmallKind::integer;
  int bits = 8;
  bool is_signed = false;
};
/// Nothing for types that are stored as C++ knows them.
[[nodiscard]] std::optional<SmallType> small_type(int onnx_type);
/// How many bytes so many elements take.
[[nodiscard]] std::size_t small_bytes(SmallType type, std::int64_t count);
/// The elements; two or four to a byte, the first in the lowest bits.
[[nodiscard]] std::vector<float> small_values(int onnx_type, std::int64_t count,
                                              std::span<const std::byte> bytes);

}  // namespace rulegrad::io
