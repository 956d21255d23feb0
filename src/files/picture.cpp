#include "rulegrad/files/picture.hpp"

#include <fmt/format.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

#include "files/codec.hpp"
#include "files/file.hpp"
#include "support/read_file.hpp"

namespace rulegrad::io {

void check_picture(const Picture& picture, std::string_view operation) {
  const auto& [width, height, channels, pixels] = picture;
  if (channels != 1 && channels != 3)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] a picture has 1 (gray) or 3 (RGB) channels, not {}", operation, channels));
  if (width <= 0 || height <= 0 || static_cast<std::size_t>(width * height * channels) != pixels.size())
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[{}] a picture of {} x {} with {} channels needs {} bytes (more than 0) but has {}",
                    operation, width, height, channels, width * height * channels, pixels.size()));
}

Picture read_picture(const std::string& path) {
  const auto bytes = read_regular_file(path, "read_picture");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\x89PNG")) return decode_png(bytes, path);
  if (text.starts_with("\xff\xd8")) return decode_jpeg(bytes, path);
  throw Error(ErrorCode::io,
              fmt::format("[read_picture] '{}' is neither a PNG nor a JPEG file ({}); convert it to one",
                          path, bytes.empty() ? "it is empty" : "by its first bytes"));
}

void write_png(const std::string& path, const Picture& picture) {
  check_picture(picture, "write_png");
  write_atomically(path, {encode_png(picture, path)}, "write_png");
}

Picture with_channels(const Picture& picture, std::int64_t channels) {
  check_picture(picture, "with_channels");
  if (channels == picture.channels) return picture;
  if (channels != 1 && channels != 3)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[with_channels] a picture has 1 or 3 channels; {} were asked for", channels));
  Picture result(picture.width, picture.height, channels);
  const std::size_t count = static_cast<std::size_t>(picture.width * picture.height);
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      for (std::size_t c = 0; c < 3; ++c) result.pixels[3 * i + c] = picture.pixels[i];
    } else {
      const std::uint8_t* rgb = &picture.pixels[3 * i];
      // The weights in units of 1/1000: the sum stays exact.
      result.pixels[i] = static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    }
  }
  return result;
}

}  // namespace rulegrad::io
