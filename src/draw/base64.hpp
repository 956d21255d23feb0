#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace rulegrad::io {

/// RFC 4648, section 4.
[[nodiscard]] std::string base64(std::span<const std::byte> bytes);
/// Text for HTML and XML; control characters, which neither has, become U+FFFD.
[[nodiscard]] std::string markup_text(std::string_view text);

}  // namespace rulegrad::io
