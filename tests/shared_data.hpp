#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "places.hpp"

/// Where the data that several projects share lie: $RULEGRAD_SHARED_DATA, else `shared/data` beside the
/// source tree. Nothing when there are none; a test that needs them then prints "skipped".
inline std::optional<std::filesystem::path> shared_data() {
  namespace fs = std::filesystem;
  if (const char* chosen = std::getenv("RULEGRAD_SHARED_DATA"); chosen != nullptr && fs::is_directory(chosen))
    return fs::path(chosen);
  for (const char* above : {"..", "../.."})
    if (const fs::path data = source_root() / above / "shared/data"; fs::is_directory(data)) return data;
  return std::nullopt;
}
