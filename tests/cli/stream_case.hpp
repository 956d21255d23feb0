#pragma once

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

#include "cli/command.hpp"

/// What tests of streams share.
namespace rulegrad::testing {

namespace fs = std::filesystem;

inline CommandResult succeeds(const std::vector<std::string>& arguments) {
  CommandResult result = run_command(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

inline void refuses(const std::vector<std::string>& arguments, const std::string& words) {
  const CommandResult result = run_command(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK_MESSAGE(result.err.find(words) != std::string::npos, "expected in the message: " << words);
}

/// The bytes of everything below a folder.
inline std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      result[fs::relative(entry.path(), folder).string()] = testing::read_text(entry.path());
  return result;
}

inline std::string_view member(const std::vector<std::pair<std::string, std::string_view>>& members,
                               std::string_view name) {
  for (const auto& [key, value] : members)
    if (key == name) return value;
  FAIL("no member " << name);
  return {};
}

/// The same but for what the number of samples computed at once rounds.
inline void check_near(const Tensor& a, const Tensor& b) {
  REQUIRE(a.dims() == b.dims());
  double largest = 0, off = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b.at(i)));
    off = std::max(off, std::abs(a.at(i) - b.at(i)));
  }
  CHECK(largest > 0);
  CHECK(off <= 1e-5 * largest);
}

}  // namespace rulegrad::testing
