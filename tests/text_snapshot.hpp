#pragma once

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "places.hpp"

namespace rulegrad::testing {

/// Compares a text with a file of the tests. RULEGRAD_UPDATE_SNAPSHOTS=1 writes the file instead, to be
/// looked at.
inline void check_text(const std::string& text, const std::string& file) {
  const std::filesystem::path path = source_root() / "tests" / file;
  if (std::getenv("RULEGRAD_UPDATE_SNAPSHOTS") != nullptr) std::ofstream(path, std::ios::binary) << text;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream expected;
  expected << in.rdbuf();
  INFO("expected text: ", path.string());
  CHECK(text == expected.str());
}

}  // namespace rulegrad::testing
