#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rulegrad {

/// SHA-256 (FIPS 180-4, section 6.2) of bytes that come piece by piece. By hand,
/// because nothing else here wants a library of cryptography, and OpenSSL's would be loaded at every start.
class Sha256 {
 public:
  /// By the processor's own instructions where it has them, in a fifth of the time, unless that is off.
  explicit Sha256(bool use_instructions = true);
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  /// 64 hexadecimal digits; nothing can be added afterwards.
  [[nodiscard]] std::string digits();

 private:
  void blocks(const std::byte* bytes, std::size_t count);
  void block(const std::byte* bytes);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> rest_{};
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
  bool instructions_;
};

}  // namespace rulegrad
