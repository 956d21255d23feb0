#pragma once

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace rulegrad::io {

/// Puts the parts, one after the other, at `path`: all of them or nothing. They go to a temporary file in the
/// same directory that then takes the name, so a reader sees the old file or the new one, and a failure
/// leaves what was there. A symbolic link keeps pointing where it does; a device or pipe is written directly.
/// Error(io) names path and reason.
void write_atomically(const std::filesystem::path& path,
                      std::initializer_list<std::span<const std::byte>> parts, std::string_view operation);

}  // namespace rulegrad::io
