#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rulegrad/files/picture.hpp"

namespace rulegrad::io {

/// More pixels than this are taken for damage: 2^27 of them as RGB fill 400 MB.
inline constexpr std::int64_t most_pixels = std::int64_t{1} << 27;

// `where` is the file named in errors, all of which are Error(io).
[[nodiscard]] Picture decode_png(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] Picture decode_jpeg(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] std::vector<std::byte> encode_png(const Picture& picture, std::string_view where);

/// Error(invalid_argument) unless the picture is whole: 1 or 3 channels and as many pixels as it says.
void check_picture(const Picture& picture, std::string_view operation);

}  // namespace rulegrad::io
