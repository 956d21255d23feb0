#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// An 8-bit picture, row by row from the top, the channels of a pixel side by side (HWC): 1 channel is gray,
/// 3 are red, green and blue.
struct Picture {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 3;
  std::vector<std::uint8_t> pixels;

  Picture() = default;
  /// One colour everywhere.
  Picture(std::int64_t picture_width, std::int64_t picture_height, std::int64_t channel_count,
          std::uint8_t value = 255)
      : width(picture_width),
        height(picture_height),
        channels(channel_count),
        pixels(static_cast<std::size_t>(picture_width * picture_height * channel_count), value) {}

  /// No pixels: a default-constructed picture.
  [[nodiscard]] bool empty() const { return pixels.empty(); }
  /// Of a channel of the pixel in column x and row y, among `pixels`; nothing is checked.
  [[nodiscard]] std::size_t index(std::int64_t x, std::int64_t y, std::int64_t channel = 0) const {
    return static_cast<std::size_t>((y * width + x) * channels + channel);
  }
  /// One channel of one pixel, 0 to 255; nothing is checked.
  [[nodiscard]] std::uint8_t at(std::int64_t x, std::int64_t y, std::int64_t channel = 0) const {
    return pixels[index(x, y, channel)];
  }
  friend bool operator==(const Picture&, const Picture&) = default;
};

/// Reads a PNG or JPEG file, told apart by content and not by name.
///
/// PNG: 1, 2, 4, 8 and 16 bits, gray, RGB, palette, interlaced or not; 16 bits are scaled to 8, transparency
/// is laid over white, (alpha * v + (255 - alpha) * 255) / 255 rounded. JPEG: gray and YCbCr/RGB, baseline
/// and progressive. Colour profiles, gamma and EXIF orientation are not applied (as in PIL's `Image.open`).
///
/// Error(io) names the file and what its library says when a file is damaged, cut off, neither format, CMYK,
/// or larger than 2^27 pixels; Error(missing_feature) the option and the package where rulegrad was built
/// without libpng or libjpeg.
[[nodiscard]] Picture read_picture(const std::string& path);

/// Writes an 8-bit gray or RGB PNG. Equal pictures give equal bytes (with the same libpng and zlib); the file
/// appears whole or not at all. Error(io) names path and reason; Error(invalid_argument) for a picture whose
/// pixels do not fill width x height x channels, or with other than 1 or 3 channels; Error(missing_feature)
/// without libpng.
void write_png(const std::string& path, const Picture& picture);

/// Gray to RGB (the value three times) or RGB to gray (luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B).
/// Error(invalid_argument) for pictures of other than 1 or 3 channels.
[[nodiscard]] Picture with_channels(const Picture& picture, std::int64_t channels);

}  // namespace io
}  // namespace rulegrad
