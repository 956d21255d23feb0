#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "places.hpp"

/// Rule files of the tests and of the project.
namespace rulegrad::test {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The files of a folder of the source tree with this ending, in the order of their names.
inline std::vector<std::filesystem::path> files_in(const std::string& folder, const std::string& ending) {
  std::vector<std::filesystem::path> result;
  if (!std::filesystem::is_directory(source_root() / folder)) return result;
  for (const auto& entry : std::filesystem::directory_iterator(source_root() / folder))
    if (entry.path().extension() == ending) result.push_back(entry.path());
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace rulegrad::test
