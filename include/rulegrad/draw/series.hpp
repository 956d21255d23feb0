#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/figure.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// How a series is drawn.
struct SeriesOptions {
  std::string title{};
  std::string colormap = "rulegrad";
  /// A map of one's own, instead of a named one.
  std::optional<ColorMap> own_colormap{};
  /// The number that gets the full colour; without it the percentile of the magnitudes.
  std::optional<double> limit{};
  double percentile = 100.0;
  std::int64_t width = 560;
  /// Of each channel's strip, in pixels.
  std::int64_t strip_height = 96;
  std::int64_t text_scale = 1;
};

/// Is what is explained of one sample read as a series? [T] of more than 64 values without names, or [C, T] of
/// at most 16 channels and of more steps than channels.
[[nodiscard]] bool looks_like_series(const Dims& dims, bool named);

/// A series and its attribution, both [T] or [C, T]: a strip for each channel, whose signal is a line over
/// the colours of the attribution; where several steps share a pixel, the one of largest magnitude gives its
/// colour. An empty `signal` draws the attribution itself as the line. Error(shape) where the two differ or
/// are no series, Error(non_finite).
[[nodiscard]] Picture series_plot(const Tensor& attribution, const Tensor& signal,
                                  const SeriesOptions& options = SeriesOptions());
/// The same before it becomes pixels.
[[nodiscard]] Figure series_figure(const Tensor& attribution, const Tensor& signal,
                                   const SeriesOptions& options = SeriesOptions());

}  // namespace io
}  // namespace rulegrad
