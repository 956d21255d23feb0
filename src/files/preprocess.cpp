#include "rulegrad/files/preprocess.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <utility>

#include "rulegrad/support/error.hpp"

#include "files/codec.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

/// The recipe of one model channel: x = (p * scale - mean) / std, p taken from channel `source` of an RGB
/// picture.
struct ChannelRecipe {
  std::int64_t source = 0;
  double mean = 0.0;
  double std = 1.0;
};

double pick(const std::vector<double>& values, std::int64_t channel, std::int64_t channels, double absent,
            std::string_view name, std::string_view operation) {
  if (values.empty()) return absent;
  if (values.size() == 1) return values[0];
  if (static_cast<std::int64_t>(values.size()) != channels)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[{}] {} has {} values but the model has {} channels: give one for each, or one for all",
                    operation, name, values.size(), channels));
  return values[static_cast<std::size_t>(channel)];
}

std::vector<ChannelRecipe> recipes(const Preprocessing& preprocessing, std::int64_t channels,
                                   std::string_view operation) {
  if (channels != 1 && channels != 3)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] a picture fits models with 1 or 3 channels, not {}", operation, channels));
  if (!std::isfinite(preprocessing.scale) || preprocessing.scale == 0.0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] scale is {} but must be finite and not 0", operation, preprocessing.scale));
  std::vector<ChannelRecipe> result;
  for (std::int64_t c = 0; c < channels; ++c) {
    ChannelRecipe recipe;
    recipe.source = preprocessing.color == ColorOrder::bgr ? channels - 1 - c : c;
    recipe.mean = pick(preprocessing.mean, c, channels, 0.0, "mean", operation);
    recipe.std = pick(preprocessing.std, c, channels, 1.0, "std", operation);
    if (!std::isfinite(recipe.mean) || !std::isfinite(recipe.std) || recipe.std == 0.0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[{}] channel {} has mean {} and std {}; both must be finite and std not 0",
                              operation, c, recipe.mean, recipe.std));
    result.push_back(recipe);
  }
  return result;
}

/// Half of `surplus`, halves rounded to the even neighbour.
std::int64_t centred(std::int64_t surplus) {
  const std::int64_t half = surplus / 2;
  return surplus % 2 == 0 ? half : half + half % 2;
}

const std::array<std::pair<std::string_view, Preprocessing>, 5>& named_recipes() {
  static const std::array<std::pair<std::string_view, Preprocessing>, 5> table{{
      {"raw", {}},
      {"unit", {.scale = 1.0 / 255.0}},
      {"signed", {.scale = 1.0 / 127.5, .mean = {1.0}}},
      {"imagenet", {.scale = 1.0 / 255.0, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}}},
      {"caffe", {.scale = 1.0, .mean = {104.0, 117.0, 123.0}, .color = ColorOrder::bgr}},
  }};
  return table;
}

}  // namespace

std::vector<std::string> preprocessing_names() {
  std::vector<std::string> names;
  for (const auto& [name, recipe] : named_recipes()) names.emplace_back(name);
  return names;
}

Preprocessing preprocessing_from_name(std::string_view name) {
  for (const auto& [known, recipe] : named_recipes())
    if (known == name) return recipe;
  throw Error(ErrorCode::unknown_name, unknown_name_message("preprocessing", name, preprocessing_names()));
}

Picture crop_for_overlay(const Picture& picture, const Preprocessing& preprocessing, std::int64_t height,
                         std::int64_t width, std::int64_t channels) {
  check_picture(picture, "crop_for_overlay");
  if (height <= 0 || width <= 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[crop_for_overlay] the model's height and width must be positive, not {} x {}",
                            height, width));
  Picture result = channels == 0 ? picture : with_channels(picture, channels);
  if (result.width == width && result.height == height) return result;

  std::int64_t new_width = 0, new_height = 0;
  if (preprocessing.short_side > 0) {
    const std::int64_t side = preprocessing.short_side;
    const std::int64_t shorter = std::min(result.width, result.height);
    new_width = side * result.width / shorter;
    new_height = side * result.height / shorter;
    if (new_width < width || new_height < height)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "[crop_for_overlay] resized to a shorter side of {} the picture has {} x {} pixels, too "
              "few for a crop of {} x {}; use a larger short_side, or 0",
              side, new_width, new_height, width, height));
  } else if (width * result.height >= height * result.width) {
    // The width is the tighter side.
    new_width = width;
    new_height = std::max(height, width * result.height / result.width);
  } else {
    new_height = height;
    new_width = std::max(width, height * result.width / result.height);
  }
  result = resize(result, new_width, new_height);
  return crop(result, centred(new_width - width), centred(new_height - height), width, height);
}

Tensor to_input(const Picture& picture, const Preprocessing& preprocessing, std::int64_t height,
                std::int64_t width, std::int64_t channels, DType dtype) {
  if (!is_floating(dtype))
    throw Error(ErrorCode::dtype, fmt::format("[to_input] makes float32 or float64, not {}", name_of(dtype)));
  const auto recipe = recipes(preprocessing, channels, "to_input");
  const Picture seen = crop_for_overlay(picture, preprocessing, height, width, channels);
  const bool planar = preprocessing.layout == Layout::nchw;
  const std::int64_t plane = height * width;
  const Dims dims = planar ? Dims{1, channels, height, width} : Dims{1, height, width, channels};
  Tensor result = Tensor::uninitialized(dtype, dims);
  const auto fill = [&](auto values) {
    for (std::int64_t i = 0; i < plane; ++i)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto& [source, mean, std] = recipe[static_cast<std::size_t>(c)];
        const double pixel = seen.pixels[static_cast<std::size_t>(i * channels + source)];
        const auto at = static_cast<std::size_t>(planar ? c * plane + i : i * channels + c);
        values[at] =
            static_cast<typename decltype(values)::element_type>((pixel * preprocessing.scale - mean) / std);
      }
  };
  if (dtype == DType::float32)
    fill(result.mutable_values<float>());
  else
    fill(result.mutable_values<double>());
  return result;
}

Picture from_input(const Tensor& input, const Preprocessing& preprocessing, std::int64_t entry) {
  const bool planar = preprocessing.layout == Layout::nchw;
  Dims dims = input.dims();
  if (dims.size() == 2) dims.insert(planar ? dims.begin() : dims.end(), 1);
  if (dims.size() == 3) dims.insert(dims.begin(), 1);
  if (dims.size() != 4 || entry < 0 || entry >= dims[0])
    throw Error(ErrorCode::shape,
                fmt::format("[from_input] there is no entry {} in an input of shape {}; expected [{}]", entry,
                            to_string(input.dims()), planar ? "N, C, H, W" : "N, H, W, C"));
  const std::int64_t channels = planar ? dims[1] : dims[3];
  const std::int64_t height = planar ? dims[2] : dims[1];
  const std::int64_t width = planar ? dims[3] : dims[2];
  const auto recipe = recipes(preprocessing, channels, "from_input");
  const std::int64_t plane = height * width;
  Picture result(width, height, channels);
  for (std::int64_t i = 0; i < plane; ++i)
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto& [source, mean, std] = recipe[static_cast<std::size_t>(c)];
      const double x = input.at(entry * plane * channels + (planar ? c * plane + i : i * channels + c));
      const double pixel = (x * std + mean) / preprocessing.scale;
      if (!std::isfinite(pixel))
        throw Error(ErrorCode::non_finite,
                    fmt::format("[from_input] channel {} at ({}, {}) is {}", c, i % width, i / width, x));
      result.pixels[static_cast<std::size_t>(i * channels + source)] =
          static_cast<std::uint8_t>(std::clamp(std::round(pixel), 0.0, 255.0));
    }
  return result;
}

}  // namespace rulegrad::io
