#pragma once

#include <cstddef>
#include <cstdint>

#include "rulegrad/support/error.hpp"

namespace rulegrad::kernels {

/// Unsigned integers that may look at memory of any type.
using Word8 = std::uint8_t;
typedef std::uint32_t __attribute__((may_alias)) Word32;
typedef std::uint64_t __attribute__((may_alias)) Word64;

/// Calls f with a word of `bytes` bytes.
template <class F>
void with_word(std::size_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(Word8{});
    case 4:
      return f(Word32{});
    case 8:
      return f(Word64{});
    default:
      throw Error(ErrorCode::internal, "[kernels] elements have 1, 4 or 8 bytes");
  }
}

}  // namespace rulegrad::kernels
