#pragma once

#include <cstddef>
#include <string_view>

namespace rulegrad {

[[nodiscard]] constexpr std::size_t hash_combine(std::size_t seed, std::size_t value) {
  return seed ^ (value * 0x9e3779b97f4a7c15ULL + 0x7f4a7c15ULL + (seed << 6) + (seed >> 2));
}

/// FNV-1a: the same on every platform and in every run.
[[nodiscard]] constexpr std::size_t hash_bytes(std::string_view bytes) {
  std::size_t hash = 0xcbf29ce484222325ULL;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace rulegrad
