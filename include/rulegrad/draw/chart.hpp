#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/figure.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// How bars look.
struct BarChartOptions {
  std::string title{};
  /// The colour map gives one colour to positive bars and one to negative bars.
  std::string colormap = "rulegrad";
  /// A map of one's own, instead of a named one.
  std::optional<ColorMap> own_colormap{};
  /// The number at the end of the axis; without it the largest magnitude shown.
  std::optional<double> limit{};
  /// More features than this: the largest magnitudes in falling order, and the sum of the others in one gray
  /// bar.
  std::size_t most_bars = 20;
  std::int64_t width = 560;
  std::int64_t text_scale = 1;
};

/// The attribution of a feature vector ([F] or [1, F]) as horizontal bars around a common zero line, with
/// names and numbers. `names` has one name for each feature, or is empty: `0`, `1`, ... Error(shape) or
/// (invalid_argument).
[[nodiscard]] Picture bar_chart(const Tensor& attribution, std::span<const std::string> names,
                                const BarChartOptions& options = BarChartOptions());
/// The same before it becomes pixels.
[[nodiscard]] Figure bar_figure(const Tensor& attribution, std::span<const std::string> names,
                                const BarChartOptions& options = BarChartOptions());

}  // namespace io
}  // namespace rulegrad
