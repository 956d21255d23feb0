#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/draw/figure.hpp"
#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// One sample of a grid.
struct GridRow {
  /// In bold, for example the predicted class; broken into up to three lines.
  std::string label{};
  /// Below it in gray, for example its score; up to two lines.
  std::string detail{};
  /// What the model saw; a default-constructed picture leaves the cell empty.
  Picture input{};
  /// One attribution for each method; a rank-1 tensor of no elements (`Tensor()`) leaves the cell empty.
  /// Feature vectors [F] are drawn as bars.
  std::vector<Tensor> attributions{};
  /// For each method the series that its attribution [T] or [C, T] is drawn over (series.hpp); empty tensors,
  /// or none, for attributions that are no series.
  std::vector<Tensor> series{};
  /// Names of the features of attributions [F], the same for all of them; none: `0`, `1`, ...
  std::vector<std::string> features{};
};

/// Which maps share a limit.
enum class LimitScope : std::uint8_t { map, row, column, grid };

/// How a grid looks.
struct GridOptions {
  std::string title{};
  HeatmapOptions heatmap{};
  LimitScope scope = LimitScope::map;
  /// Lays the maps over the inputs of their rows.
  std::optional<OverlayOptions> overlay{};
  /// What is smaller is magnified by the largest integer that keeps it within this; 0: the longest side of
  /// what is shown, but at least 160.
  std::int64_t cell_size = 0;
  std::int64_t text_scale = 1;
  std::string input_header = "input";
  /// Words at the ends of the colour bar.
  std::string negative = "against";
  std::string positive = "for";
};

/// Rows are samples; columns are the input (where any row has one) and the methods. Methods stand above their
/// columns, labels left of their rows, the limit that a map was divided by below it (for the scope `grid` at
/// the colour bar), the colour bar at the bottom. Long texts are broken or shortened with an ellipsis.
/// Error(invalid_argument) when a row does not have one attribution for each method; errors of `render` name
/// row and method.
[[nodiscard]] Picture grid(std::span<const std::string> methods, std::span<const GridRow> rows,
                           const GridOptions& options = GridOptions());
/// The same before it becomes pixels.
[[nodiscard]] Figure grid_figure(std::span<const std::string> methods, std::span<const GridRow> rows,
                                 const GridOptions& options = GridOptions());

}  // namespace io
}  // namespace rulegrad
