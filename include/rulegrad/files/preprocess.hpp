#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/files/picture.hpp"
#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// Where the channels of an image array stand: [N, C, H, W] or [N, H, W, C].
enum class Layout : std::uint8_t { nchw, nhwc };
/// The order of a model's three channels.
enum class ColorOrder : std::uint8_t { rgb, bgr };

/// How a model wants its pictures. With p the pixel (0..255) of channel c,
///
///     x[c] = (p[c] * scale - mean[c]) / std[c]
///
/// where c counts channels **in the order of the model**: with `bgr`, mean[0] is blue's. `mean` and `std`
/// have one value for each channel, one for all, or none (0 and 1). So, for example,
///
///     torchvision, ImageNet       scale 1/255, mean {0.485, 0.456, 0.406}, std {0.229, 0.224, 0.225}, rgb
///     "pixel/127.5 - 1"           scale 1/127.5, mean {1}, rgb
///     "BGR minus (104, 117, 123)" scale 1, mean {104, 117, 123}, bgr
///
/// The formula is evaluated in float64 and rounded once.
struct Preprocessing {
  double scale = 1.0;
  std::vector<double> mean{};
  std::vector<double> std{};
  Layout layout = Layout::nchw;
  ColorOrder color = ColorOrder::rgb;
  /// The shorter side after resizing and before the crop (torchvision's `Resize(256)`, then a crop of 224).
  /// 0: the least size that covers the target. A picture of exactly the target's size is never resized.
  std::int64_t short_side = 0;
};

/// The recipes above by name: `raw` (0..255 as they are), `unit` (pixel/255), `signed` (pixel/127.5 - 1),
/// `imagenet` (torchvision's), `caffe` (BGR minus means). Error(unknown_name) names the nearest.
[[nodiscard]] Preprocessing preprocessing_from_name(std::string_view name);
/// Of the recipes that `preprocessing_from_name` knows.
[[nodiscard]] std::vector<std::string> preprocessing_names();

/// Bilinear resizing with antialiasing, as PIL's `resize(size, BILINEAR)` and torchvision on PIL images:
/// along each axis a triangle filter centred at (i + 0.5) * in / out whose half-width is max(1, in / out)
/// input pixels, its weights normalised to sum 1 at the borders; columns first, then rows, each rounded to 8
/// bits. Error(invalid_argument) for empty pictures and sizes below 1.
[[nodiscard]] Picture resize(const Picture& picture, std::int64_t width, std::int64_t height);

/// The rectangle with top left corner (x, y); Error(invalid_argument) when it leaves the picture.
[[nodiscard]] Picture crop(const Picture& picture, std::int64_t x, std::int64_t y, std::int64_t width,
                           std::int64_t height);

/// The part of the picture that the model sees, at the model's size and with its channels (1 or 3; 0 keeps
/// the picture's), always in RGB order: gray <-> RGB, resize to `short_side` (the longer side in proportion,
/// rounded down), centre crop (from round-half-to-even of half the surplus, as torchvision's CenterCrop).
[[nodiscard]] Picture crop_for_overlay(const Picture& picture, const Preprocessing& preprocessing,
                                       std::int64_t height, std::int64_t width, std::int64_t channels = 0);

/// The model's input for one picture: [1, C, H, W] or [1, H, W, C] of float32 or float64, the formula of
/// `Preprocessing` applied to `crop_for_overlay`. Error(invalid_argument) for recipes that do not fit the
/// channels, Error(dtype) for other dtypes.
[[nodiscard]] Tensor to_input(const Picture& picture, const Preprocessing& preprocessing, std::int64_t height,
                              std::int64_t width, std::int64_t channels, DType dtype = DType::float32);

/// The picture behind one entry of a batch of inputs ([N, C, H, W] or [N, H, W, C] by the layout; without the
/// batch axis also [C, H, W], [H, W, C] and, gray, [H, W]): the formula solved for p, rounded and kept in
/// 0..255. Error(shape) for arrays that are no image and entries that are not there, Error(non_finite).
[[nodiscard]] Picture from_input(const Tensor& input, const Preprocessing& preprocessing,
                                 std::int64_t entry = 0);

}  // namespace io
}  // namespace rulegrad
