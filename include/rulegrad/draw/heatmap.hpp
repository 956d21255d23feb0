#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// How the channels of an attribution become one number per pixel. `max_abs` takes the value of largest
/// magnitude with its sign (the first one on ties); `none` keeps the channels as maps of their own.
enum class ChannelReduction : std::uint8_t { sum, mean, max_abs, none };

/// How numbers become colours.
struct HeatmapOptions {
  ChannelReduction reduce = ChannelReduction::sum;
  /// Where the channels of a rank-3 attribution stand.
  Layout layout = Layout::nchw;
  std::string colormap = "rulegrad";
  /// A map of one's own, instead of a named one.
  std::optional<ColorMap> own_colormap{};
  /// The map of one's own, or the named one; throws Error(unknown_name).
  [[nodiscard]] ColorMap colors() const { return own_colormap ? *own_colormap : ColorMap::named(colormap); }
  /// The number that gets the full colour; -limit gets the opposite one, larger magnitudes are clipped. Must
  /// be positive. Without it, `symmetric_limit` of the map.
  std::optional<double> limit{};
  double percentile = 100.0;
  /// Shows sign(v) |v / limit|^gamma: below 1, small relevances become visible.
  double gamma = 1.0;
  /// Each value as a square of so many pixels. 0: the least factor that makes the shorter side 128 pixels
  /// long.
  std::int64_t upscale = 1;
};

/// An overlay keeps the picture where the relevance is 0.
struct OverlayOptions {
  /// The weight of the heat map's colour: everywhere if `by_magnitude` is off, else times the magnitude
  /// shown.
  double opacity = 0.9;
  bool by_magnitude = true;
  /// The picture loses its colours and half its contrast, so that every colour seen is relevance.
  bool gray_background = true;
};

/// One float64 number per pixel: [C, H, W] (or [H, W, C] by the layout; a leading batch axis of 1 is dropped)
/// becomes [H, W], with `none` [C, H, W]; [H, W] stays. Error(shape) for other ranks and larger batches,
/// Error(non_finite) that names the element.
[[nodiscard]] Tensor reduce_channels(const Tensor& attribution, ChannelReduction reduction,
                                     Layout layout = Layout::nchw);

/// A volume [C, D, H, W] (or [D, H, W, C] by the layout) as one map: channels reduced (`none` counts as
/// `sum`), and at most `most` slices, spread evenly over D, in a table as square as can be, row by row, with
/// a line of zeros between them. Errors as `reduce_channels`.
[[nodiscard]] Tensor slices(const Tensor& volume, ChannelReduction reduction, Layout layout = Layout::nchw,
                            std::int64_t most = 9);

/// The largest magnitude, or the percentile of the magnitudes (0 < percentile <= 100, linear between
/// neighbours, as `numpy.percentile`). Where that percentile is 0 the maximum takes its place; the limit of
/// an all-zero map is 0.
[[nodiscard]] double symmetric_limit(const Tensor& values, double percentile = 100.0);

/// The attribution as a heat map: channels reduced, divided by the limit, coloured. Zero is white, and the
/// scale is symmetric around it. With `none` the channels stand side by side (more than four in a near-square
/// table) with gray lines between them, under one limit. A rank-1 attribution is drawn as a bar chart (see
/// chart.hpp) with features `0`, `1`, ...
[[nodiscard]] Picture render(const Tensor& attribution, const HeatmapOptions& options = HeatmapOptions());

/// The heat map over the picture it explains (`crop_for_overlay`). The picture must be as large as the map,
/// or an integer times that; then the map's values are squares. Error(shape) otherwise.
[[nodiscard]] Picture overlay(const Picture& picture, const Tensor& attribution,
                              const HeatmapOptions& options = HeatmapOptions(),
                              const OverlayOptions& how = OverlayOptions());

}  // namespace io
}  // namespace rulegrad
