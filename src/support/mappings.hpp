#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

/// Which addresses are which file's. Reading a mapped file that another program cuts short ends in SIGBUS;
/// whoever handles that signal can say which file it was.
namespace rulegrad::mappings {

void add(std::span<const std::byte> bytes, const std::filesystem::path& path);
void remove(std::span<const std::byte> bytes);

/// The path of the file that is mapped at the address; null if none is. Safe in a signal handler.
[[nodiscard]] const char* path_at(const void* address) noexcept;

}  // namespace rulegrad::mappings
