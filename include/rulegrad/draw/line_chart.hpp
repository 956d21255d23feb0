#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/files/picture.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// One line: points from left to right.
struct Series {
  std::string name;
  std::vector<double> x, y;
  bool dashed = false;  ///< for what the others are compared with
};

/// Lines over common axes.
struct LinePanel {
  std::string title;
  std::string x_label;
  std::vector<Series> series;
};

/// How lines look; sizes in pixels.
struct LineChartOptions {
  std::string title{};
  std::int64_t panel_width = 420;
  std::int64_t panel_height = 300;
  std::int64_t text_scale = 1;
};

/// Panels side by side with a common vertical scale, ticks at round numbers, and one legend below: series of
/// one name have one colour. Error(invalid_argument) for panels without a point and series with more x than
/// y, Error(non_finite).
[[nodiscard]] Picture line_chart(std::span<const LinePanel> panels,
                                 const LineChartOptions& options = LineChartOptions());

}  // namespace io
}  // namespace rulegrad
