// Charts of lines: colours where the points are, one legend entry a name, errors.
#include "rulegrad/draw/line_chart.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

/// The rows of the pixels of a colour in a column.
std::vector<std::int64_t> rows_of(const io::Picture& picture, std::int64_t x, io::Rgb color) {
  std::vector<std::int64_t> rows;
  for (std::int64_t y = 0; y < picture.height; ++y)
    if (picture.at(x, y, 0) == color[0] && picture.at(x, y, 1) == color[1] && picture.at(x, y, 2) == color[2])
      rows.push_back(y);
  return rows;
}

constexpr io::Rgb first{0x00, 0x72, 0xb2}, second{0xd5, 0x5e, 0x00};

}  // namespace

TEST_CASE("lines go through their points, higher values higher up, each name in one colour in all panels") {
  const std::vector<io::LinePanel> panels{
      {"left", "x", {{"up", {0, 1}, {0, 1}}, {"flat", {0, 1}, {0.5, 0.5}}}},
      {"right", "x", {{"flat", {0, 1}, {0.25, 0.25}}}}};
  const io::Picture picture = io::line_chart(panels);
  const std::int64_t middle = picture.width / 4, low = picture.width / 8 + 20;
  const auto up_left = rows_of(picture, low, first), up = rows_of(picture, middle, first),
             flat = rows_of(picture, low, second), right = rows_of(picture, picture.width * 3 / 4, second);
  REQUIRE_FALSE(up_left.empty());
  REQUIRE_FALSE(up.empty());
  REQUIRE_FALSE(flat.empty());
  REQUIRE_FALSE(right.empty());
  CHECK(up_left.front() > up.front());
  CHECK(up_left.front() > flat.front());
  CHECK(right.front() > flat.front());
  CHECK(rows_of(picture, picture.width * 3 / 4, first).empty());
  CHECK(picture == io::line_chart(panels));
}

TEST_CASE("a dashed line has gaps, and a single value still has an axis") {
  const auto filled = [](bool dashed) {
    const std::vector<io::LinePanel> panels{{"", "", {{"one", {0, 1}, {3, 3}, dashed}}}};
    const io::Picture picture = io::line_chart(panels);
    std::int64_t columns = 0;
    for (std::int64_t x = picture.width / 4; x < picture.width / 2; ++x)
      columns += std::ranges::any_of(rows_of(picture, x, dashed ? io::Rgb{0x6b, 0x72, 0x80} : first),
                                     [&](std::int64_t y) { return y < picture.height * 3 / 4; });
    return static_cast<double>(columns) / static_cast<double>(picture.width / 4);
  };
  CHECK(filled(false) == doctest::Approx(1).epsilon(0.02));
  CHECK(filled(true) > 0.3);
  CHECK(filled(true) < 0.8);
}

TEST_CASE("what cannot be drawn is told") {
  using Panels = std::vector<io::LinePanel>;
  CHECK_THROWS_WITH_AS((void)io::line_chart(Panels{}), doctest::Contains("no points"), Error);
  CHECK_THROWS_WITH_AS((void)io::line_chart(Panels{{"", "", {{"a", {0, 1}, {0}}}}}),
                       doctest::Contains("2 places and 1 values"), Error);
  CHECK_THROWS_WITH_AS((void)io::line_chart(Panels{{"", "", {{"a", {0, 1}, {0, NAN}}}}}),
                       doctest::Contains("point 1 of 'a'"), Error);
  CHECK_THROWS_WITH_AS(
      (void)io::line_chart(Panels{{"", "", {{"a", {0, 1}, {0, 1}}}}}, {.title = {}, .panel_width = 10}),
      doctest::Contains("160x80"), Error);
}
