#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

/// The seed of a test that draws what it tries, unless its command names one: RULEGRAD_TEST_SEED where it is set, so
/// that one state of the sources is tried with the same draws everywhere (scripts/test.sh), else another one at every
/// start.
inline std::uint64_t drawn_seed() {
  const char* const given = std::getenv("RULEGRAD_TEST_SEED");
  return given != nullptr && *given != '\0' ? std::stoull(given) : std::random_device()();
}
