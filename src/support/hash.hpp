#pragma once

#include <boost/container_hash/hash.hpp>
#include <cstddef>
#include <string_view>

namespace rulegrad {

/// Of several values, one after the other. For tables of one run.
[[nodiscard]] inline std::size_t hash_combine(std::size_t seed, std::size_t value) {
  boost::hash_combine(seed, value);
  return seed;
}

/// FNV-1a: the same on every platform and in every run, as what is written to files must be; std::hash and
/// Boost promise neither.
[[nodiscard]] constexpr std::size_t hash_bytes(std::string_view bytes) {
  std::size_t hash = 0xcbf29ce484222325ULL;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace rulegrad
