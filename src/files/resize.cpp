#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/support/error.hpp"

#include "files/codec.hpp"

/// By hand, because networks were trained on what Pillow's and torchvision's filter gives, to which libraries
/// of pictures in C++ come near.
namespace rulegrad::io {
namespace {

/// The input pixels `first .. first + weight.size() - 1` that make one output pixel.
struct Window {
  std::int64_t first = 0;
  std::vector<double> weight;
};

std::vector<Window> triangle_windows(std::int64_t in, std::int64_t out) {
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  const double half_width = std::max(ratio, 1.0);
  std::vector<Window> windows(static_cast<std::size_t>(out));
  for (std::int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * ratio;
    // Pixel k covers k .. k+1; it takes part if its middle lies under the triangle.
    const auto first =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(centre - half_width + 0.5)));
    const auto last =
        std::min<std::int64_t>(in, static_cast<std::int64_t>(std::floor(centre + half_width + 0.5)));
    Window& window = windows[static_cast<std::size_t>(i)];
    window.first = first;
    double sum = 0.0;
    for (std::int64_t k = first; k < last; ++k) {
      const double distance = std::abs(static_cast<double>(k) + 0.5 - centre) / half_width;
      window.weight.push_back(std::max(0.0, 1.0 - distance));
      sum += window.weight.back();
    }
    for (double& weight : window.weight) weight /= sum;
  }
  return windows;
}

/// Along one axis: `outer` slabs of `in` x `inner` values become `outer` slabs of windows.size() x `inner`.
std::vector<std::uint8_t> resample(const std::vector<std::uint8_t>& pixels, std::int64_t outer,
                                   std::int64_t in, std::int64_t inner, const std::vector<Window>& windows) {
  const auto out = static_cast<std::int64_t>(windows.size());
  std::vector<std::uint8_t> result(static_cast<std::size_t>(outer * out * inner));
  std::vector<double> line(static_cast<std::size_t>(inner));
  for (std::int64_t slab = 0; slab < outer; ++slab) {
    for (std::int64_t i = 0; i < out; ++i) {
      const Window& window = windows[static_cast<std::size_t>(i)];
      std::ranges::fill(line, 0.5);
      for (std::size_t k = 0; k < window.weight.size(); ++k) {
        const double weight = window.weight[k];
        const std::uint8_t* from = &pixels[static_cast<std::size_t>(
            (slab * in + window.first + static_cast<std::int64_t>(k)) * inner)];
        for (std::size_t j = 0; j < line.size(); ++j) line[j] += weight * from[j];
      }
      std::uint8_t* to = &result[static_cast<std::size_t>((slab * out + i) * inner)];
      for (std::size_t j = 0; j < line.size(); ++j)
        to[j] = static_cast<std::uint8_t>(std::min(line[j], 255.0));
    }
  }
  return result;
}

}  // namespace

Picture resize(const Picture& picture, std::int64_t width, std::int64_t height) {
  check_picture(picture, "resize");
  if (width <= 0 || height <= 0 || width > most_pixels / height)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[resize] cannot make a picture of {} x {} pixels", width, height));
  Picture result = picture;
  if (width != picture.width)
    result.pixels = resample(result.pixels, picture.height, picture.width, picture.channels,
                             triangle_windows(picture.width, width));
  result.width = width;
  if (height != picture.height)
    result.pixels = resample(result.pixels, 1, picture.height, width * picture.channels,
                             triangle_windows(picture.height, height));
  result.height = height;
  return result;
}

Picture crop(const Picture& picture, std::int64_t x, std::int64_t y, std::int64_t width,
             std::int64_t height) {
  check_picture(picture, "crop");
  if (x < 0 || y < 0 || width <= 0 || height <= 0 || x > picture.width - width || y > picture.height - height)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[crop] {} x {} pixels at ({}, {}) are not inside a picture of {} x {}", width,
                            height, x, y, picture.width, picture.height));
  Picture result(width, height, picture.channels);
  for (std::int64_t row = 0; row < height; ++row)
    std::copy_n(&picture.pixels[picture.index(x, y + row)], width * picture.channels,
                &result.pixels[result.index(0, row)]);
  return result;
}

}  // namespace rulegrad::io
