#pragma once

#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

#include "cli/command.hpp"
#include "shared_data.hpp"

/// How tests ask the command: lines that must succeed or be refused, and numbers to ask about.
namespace rulegrad::testing {

/// A folder of shared cases; empty where there is none.
inline std::string field(const std::string& name) {
  const auto data = shared_data();
  if (data && std::filesystem::is_directory(*data / "field" / name))
    return (*data / "field" / name).string() + "/";
  MESSAGE("skipped: no shared data");
  return "";
}

inline CommandResult succeeds(const std::vector<std::string>& arguments) {
  CommandResult result = run_command(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

inline void refuses(const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
  const CommandResult result = run_command(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  for (const std::string& word : words)
    CHECK_MESSAGE(result.err.find(word) != std::string::npos, "expected in the message: " << word);
}

inline void check_near(const Tensor& a, const Tensor& b, double bound) {
  REQUIRE(a.dims() == b.dims());
  for (std::int64_t i = 0; i < a.size(); ++i)
    CHECK(std::abs(a.at(i) - b.at(i)) <= bound * (1 + std::abs(b.at(i))));
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline Tensor numbers(Dims dims, double step = 0.37) {
  Tensor result(DType::float32, std::move(dims));
  for (std::int64_t i = 0; i < result.size(); ++i)
    result.mutable_values<float>()[static_cast<std::size_t>(i)] =
        static_cast<float>(std::sin(step * static_cast<double>(i + 1)));
  return result;
}

}  // namespace rulegrad::testing
