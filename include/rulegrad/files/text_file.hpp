#pragma once

#include <string>
#include <string_view>

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// The whole file. Only regular files are read: a pipe would wait for ever, a device has no end. Throws
/// Error(io) with path and reason.
[[nodiscard]] std::string read_text(const std::string& path);

/// Writes `text` to `path` whole or not at all: a file that was there stays as it was when this fails. Throws
/// Error(io).
void write_text(const std::string& path, std::string_view text);

}  // namespace io
}  // namespace rulegrad
