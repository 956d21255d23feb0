#include "rulegrad/draw/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/grid.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/font.hpp"
#include "draw/snapshot.hpp"
#include "files/helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

constexpr Rgb white{255, 255, 255};

Rgb pixel(const Picture& picture, std::int64_t x, std::int64_t y) {
  return {picture.at(x, y, 0), picture.at(x, y, 1), picture.at(x, y, 2)};
}

/// L* of CIE 1976 from sRGB.
double lightness(const Rgb& color) {
  const auto linear = [](std::uint8_t value) {
    const double u = value / 255.0;
    return u <= 0.04045 ? u / 12.92 : std::pow((u + 0.055) / 1.055, 2.4);
  };
  const double y = 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
  return 116.0 * std::cbrt(std::max(y, 0.008856)) - 16.0;
}

/// A small attribution with both signs, zeros and three channels, from integers only.
Tensor sample_attribution(int variant = 0) {
  Tensor result(DType::float32, {3, 12, 16});
  const auto values = result.mutable_values<float>();
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 16; ++x) {
        const int dx = x - 7 - variant, dy = y - 5;
        const int ring = 30 - (dx * dx + dy * dy) + 4 * c;
        const bool silent = x < 2 || y > 9;
        values[static_cast<std::size_t>((c * 12 + y) * 16 + x)] =
            silent ? 0.0F : static_cast<float>(ring) / 32.0F;
      }
  return result;
}

Picture sample_picture() {
  Picture picture(16, 12, 3);
  for (std::int64_t y = 0; y < 12; ++y)
    for (std::int64_t x = 0; x < 16; ++x) {
      picture.pixels[picture.index(x, y, 0)] = static_cast<std::uint8_t>(16 * x);
      picture.pixels[picture.index(x, y, 1)] = static_cast<std::uint8_t>(20 * y);
      picture.pixels[picture.index(x, y, 2)] = static_cast<std::uint8_t>((x + y) % 2 == 0 ? 200 : 90);
    }
  return picture;
}

}  // namespace

TEST_CASE("zero is exactly white in every colour map, and only zero is at full lightness") {
  for (const std::string& name : ColorMap::names()) {
    const ColorMap map = ColorMap::named(name);
    CHECK(map(0.0) == white);
    CHECK(map(-0.0) == white);
    CHECK(map(0.05) != white);
    CHECK(map(-0.05) != white);
    CHECK(map(7.0) == map(1.0));
    CHECK(map(-7.0) == map(-1.0));
    if (!map.diverging()) CHECK(map(-0.4) == map(0.4));
    if (map.diverging()) CHECK(map(-0.4) != map(0.4));
  }
  CHECK(contains(error_text(ErrorCode::unknown_name, [] { (void)ColorMap::named("seismik"); }),
                 "did you mean 'seismic'?"));
}

TEST_CASE("rulegrad's colours darken evenly, and alike on both sides of zero") {
  const ColorMap map = ColorMap::named("rulegrad");
  double before = 101.0;
  for (int i = 0; i <= 100; ++i) {
    const double t = i / 100.0;
    const double positive = lightness(map(t)), negative = lightness(map(-t));
    CHECK(std::abs(positive - negative) < 6.0);
    CHECK(positive < before);
    CHECK(before - positive < 2.5);
    before = positive;
  }
  const ColorMap heat = ColorMap::named("heat");
  for (int i = 1; i <= 50; ++i) CHECK(lightness(heat(i / 50.0)) < lightness(heat((i - 1) / 50.0)));
}

TEST_CASE("channels are reduced by sum, mean or signed largest magnitude, in either layout") {
  const Tensor planar({3, 1, 2}, {1.0F, -1.0F, -4.0F, 2.0F, 2.0F, 2.0F});
  const Tensor interleaved({1, 2, 3}, {1.0F, -4.0F, 2.0F, -1.0F, 2.0F, 2.0F});
  const auto check = [&](ChannelReduction how, double first, double second) {
    for (const Tensor& map : {reduce_channels(planar, how), reduce_channels(interleaved, how, Layout::nhwc),
                              reduce_channels(planar.reshaped({1, 3, 1, 2}), how),
                              reduce_channels(planar.cast(DType::float64), how)}) {
      CHECK(map.dims() == Dims{1, 2});
      CHECK(map.at(0) == first);
      CHECK(map.at(1) == second);
    }
  };
  check(ChannelReduction::sum, -1, 3);
  check(ChannelReduction::mean, -1.0 / 3, 1);
  check(ChannelReduction::max_abs, -4, 2);
  const Tensor kept = reduce_channels(interleaved, ChannelReduction::none, Layout::nhwc);
  CHECK(identical(kept, planar.cast(DType::float64)));
  CHECK(reduce_channels(Tensor({2, 2}, {1.0F, 2.0F, 3.0F, 4.0F}), ChannelReduction::sum).at(3) == 4);
}

TEST_CASE("attributions that are no heat map are refused") {
  for (const Dims& dims : {Dims{2, 3, 4, 4}, Dims{}, Dims{0, 4}, Dims{1, 1, 1, 1, 1}})
    CHECK(contains(error_text(ErrorCode::shape, [&] { (void)render(Tensor(DType::float32, dims)); }),
                   "expected [C, H, W] or [H, W]"));
  Tensor broken(DType::float32, {2, 3, 4});
  broken.mutable_values<float>()[12 + 6] = std::numeric_limits<float>::infinity();
  CHECK(contains(error_text(ErrorCode::non_finite, [&] { (void)render(broken); }),
                 "inf in channel 1 at row 1, column 2"));
  const Tensor map({1, 1}, {1.0F});
  const auto refused = [&](const HeatmapOptions& options) {
    return error_text(ErrorCode::invalid_argument, [&] { (void)render(map, options); });
  };
  HeatmapOptions options;
  options.limit = 0.0;
  CHECK(contains(refused(options), "positive"));
  options = {};
  options.gamma = 0.0;
  CHECK(contains(refused(options), "gamma"));
  options = {};
  options.upscale = -1;
  CHECK(contains(refused(options), "upscale"));
  options = {};
  options.percentile = 0.0;
  CHECK(contains(refused(options), "percentile"));
}

TEST_CASE("the limit is the largest magnitude, or a percentile of the magnitudes") {
  const Tensor values({5}, {0.0, -4.0, 1.0, 2.0, -3.0});
  CHECK(symmetric_limit(values) == 4.0);
  CHECK(symmetric_limit(values, 75.0) == 3.0);
  CHECK(symmetric_limit(values, 90.0) == doctest::Approx(3.6));
  Tensor sparse(DType::float32, {100});
  sparse.mutable_values<float>()[3] = -2.0F;
  CHECK(symmetric_limit(sparse, 50.0) == 2.0);
  CHECK(symmetric_limit(Tensor(DType::float32, {4})) == 0.0);
}

TEST_CASE("a heat map is symmetric around white: opposite numbers mirror, and the limit is one per map") {
  const ColorMap map = ColorMap::named("rulegrad");
  const Tensor attribution({1, 5}, {-4.0F, -1.0F, 0.0F, 1.0F, 2.0F});
  const Picture picture = render(attribution);
  CHECK(pixel(picture, 0, 0) == map(-1.0));
  CHECK(pixel(picture, 1, 0) == map(-0.25));
  CHECK(pixel(picture, 2, 0) == white);
  CHECK(pixel(picture, 3, 0) == map(0.25));
  CHECK(pixel(picture, 4, 0) == map(0.5));  // the positive side does not get a limit of its own
  HeatmapOptions options;
  options.limit = 2.0;
  options.gamma = 0.5;
  const Picture brighter = render(attribution, options);
  CHECK(pixel(brighter, 0, 0) == map(-1.0));
  CHECK(pixel(brighter, 1, 0) == map(-std::sqrt(0.5)));
  CHECK(pixel(brighter, 2, 0) == white);
  CHECK(render(Tensor(DType::float32, {3, 4})) == Picture(4, 3, 3, 255));
}

TEST_CASE("tiny maps are magnified into squares") {
  const Tensor attribution({1, 2}, {1.0F, -1.0F});
  HeatmapOptions options;
  options.upscale = 3;
  const Picture picture = render(attribution, options);
  REQUIRE(picture.width == 6);
  REQUIRE(picture.height == 3);
  for (std::int64_t y = 0; y < 3; ++y)
    for (std::int64_t x = 0; x < 6; ++x)
      CHECK(pixel(picture, x, y) == ColorMap::named("rulegrad")(x < 3 ? 1.0 : -1.0));
  options.upscale = 0;
  CHECK(render(Tensor(DType::float32, {28, 30}), options).height == 140);  // 5 x 28 is the first above 128
}

TEST_CASE("an overlay shows the picture where nothing is relevant and the colour where all is") {
  const Picture picture = sample_picture();
  Tensor attribution(DType::float32, {12, 16});
  attribution.mutable_values<float>()[5] = 2.0F;
  attribution.mutable_values<float>()[6] = -1.0F;
  OverlayOptions how{.opacity = 1.0, .by_magnitude = true, .gray_background = false};
  const Picture over = overlay(picture, attribution, {}, how);
  const ColorMap map = ColorMap::named("rulegrad");
  CHECK(pixel(over, 0, 3) == pixel(picture, 0, 3));
  CHECK(pixel(over, 5, 0) == map(1.0));
  for (int c = 0; c < 3; ++c)
    CHECK(std::abs(over.at(6, 0, c) - 0.5 * (picture.at(6, 0, c) + map(-0.5)[static_cast<std::size_t>(c)])) <=
          0.5);
  how.by_magnitude = false;
  how.opacity = 0.25;
  CHECK(std::abs(overlay(picture, attribution, {}, how).at(0, 3, 0) -
                 (0.75 * picture.at(0, 3, 0) + 0.25 * 255)) <= 0.5);
  how.gray_background = true;
  const Picture gray = overlay(picture, attribution, {}, how);
  CHECK(gray.at(9, 9, 0) == gray.at(9, 9, 2));

  const Tensor coarse({3, 4}, {0.0F, 0.0F, 1.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F});
  const Picture blocks = overlay(picture, coarse, {}, {.opacity = 1.0});
  CHECK(pixel(blocks, 8, 0) == map(1.0));
  CHECK(pixel(blocks, 11, 3) == map(1.0));
  CHECK(pixel(blocks, 12, 3) != map(1.0));
  CHECK(contains(error_text(ErrorCode::shape,
                            [&] {
                              (void)overlay(picture, Tensor(DType::float32, {5, 5}));
                            }),
                 "the picture has 16 x 12 pixels but the heat map has 5 x 5 values"));
  CHECK(contains(error_text(ErrorCode::invalid_argument,
                            [&] { (void)overlay(picture, attribution, {}, {.opacity = 1.5}); }),
                 "1.5"));
  HeatmapOptions none;
  none.reduce = ChannelReduction::none;
  CHECK(contains(
      error_text(ErrorCode::invalid_argument, [&] { (void)overlay(picture, sample_attribution(), none); }),
      "must be reduced"));
}

TEST_CASE("channels that are kept stand side by side under one limit") {
  HeatmapOptions options;
  options.reduce = ChannelReduction::none;
  const Picture row = render(Tensor({2, 1, 2}, {1.0F, 2.0F, -4.0F, 0.0F}), options);
  const ColorMap map = ColorMap::named("rulegrad");
  CHECK(row.width == 5);
  CHECK(row.height == 1);
  CHECK(pixel(row, 0, 0) == map(0.25));
  CHECK(pixel(row, 1, 0) == map(0.5));
  CHECK(pixel(row, 3, 0) == map(-1.0));
  CHECK(pixel(row, 4, 0) == white);
  const Picture square = render(Tensor(DType::float32, {9, 2, 2}), options);
  CHECK(square.width == 8);
  CHECK(square.height == 8);
}

TEST_CASE("every printable character has a glyph of its own inside its cell") {
  std::set<std::array<std::uint8_t, 12>> seen;
  for (char32_t point = 33; point < 127; ++point) {
    const Glyph& shape = glyph(point);
    CHECK(seen.insert(shape.rows).second);
    CHECK(shape.width >= 1);
    CHECK(shape.width <= 7);
    std::uint8_t ink = 0;
    for (const std::uint8_t row : shape.rows) ink |= row;
    CHECK(ink != 0);
    CHECK((ink & (0xFF >> shape.width)) == 0);  // no dot right of the width
    CHECK(shape.rows[0] == 0);
  }
  CHECK(glyph(U' ').width == 3);
  CHECK(&glyph(U'\u00e9') == &glyph(U'\u4e2d'));  // the box
  CHECK(code_points("a\xc2\xb1\xe2\x80\xa6\xf0\x9f\x98\x80") ==
        std::vector<char32_t>{'a', 0xB1, 0x2026, 0x1F600});
  CHECK(code_points("\xff"
                    "b\xe2\x80") == std::vector<char32_t>{0xFFFD, 'b', 0xFFFD, 0xFFFD});
}

TEST_CASE("bars grow from a common zero to both sides, in proportion to the numbers") {
  const Tensor attribution({3}, {1.0F, -0.5F, 0.25F});
  const std::vector<std::string> names{"one", "two", "three"};
  const Picture chart = bar_chart(attribution, names);
  const ColorMap map = ColorMap::named("rulegrad");
  const auto length = [&](double t) {
    std::int64_t most = 0;
    for (std::int64_t y = 0; y < chart.height; ++y) {
      std::int64_t run = 0;
      for (std::int64_t x = 0; x < chart.width; ++x) run += pixel(chart, x, y) == map(t) ? 1 : 0;
      most = std::max(most, run);
    }
    return static_cast<double>(most);
  };
  CHECK(length(0.55) > 100);
  CHECK(length(-0.55) == doctest::Approx(length(0.55) / 2).epsilon(0.03));
  CHECK(render(attribution).width == chart.width);
  CHECK(bar_chart(Tensor(DType::float32, {1, 2}), {}).width == chart.width);
}

TEST_CASE("a bar chart that cannot be drawn says why") {
  const std::vector<std::string> one{"a"};
  CHECK(contains(
      error_text(ErrorCode::invalid_argument, [&] { (void)bar_chart(Tensor(DType::float32, {2}), one); }),
      "1 names for 2 features"));
  CHECK(contains(error_text(ErrorCode::shape,
                            [&] {
                              (void)bar_chart(Tensor(DType::float32, {2, 2}), {});
                            }),
                 "[2, 2]"));
  CHECK(contains(error_text(ErrorCode::shape, [&] { (void)bar_chart(Tensor(), {}); }), "[0]"));
  CHECK(contains(error_text(ErrorCode::non_finite, [&] { (void)bar_chart(Tensor({1}, {std::nan("")}), {}); }),
                 "nan"));
  CHECK(contains(error_text(ErrorCode::unknown_name,
                            [&] { (void)bar_chart(Tensor({1}, {1.0}), {}, {.colormap = "grey"}); }),
                 "did you mean 'gray'?"));
  CHECK(contains(
      error_text(ErrorCode::invalid_argument, [&] { (void)bar_chart(Tensor({1}, {1.0}), {}, {.width = 9}); }),
      "width"));
}

TEST_CASE("a grid that does not fit together names the row and the method") {
  const std::vector<std::string> methods{"gradient", "lrp.epsilon"};
  std::vector<GridRow> rows{{"cat", "0.9", sample_picture(), {sample_attribution()}}};
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { (void)grid(methods, rows); }),
                 "row 0 ('cat') has 1 attributions but there are 2 methods"));
  rows[0].attributions.emplace_back(DType::float32, Dims{2, 3, 4, 5});
  CHECK(contains(error_text(ErrorCode::shape, [&] { (void)grid(methods, rows); }),
                 "row 0 ('cat'), method 'lrp.epsilon'"));
  rows[0].attributions[1] = Tensor(DType::float32, {5, 5});
  GridOptions options;
  options.overlay = OverlayOptions{};
  CHECK(contains(error_text(ErrorCode::shape, [&] { (void)grid(methods, rows, options); }),
                 "method 'lrp.epsilon'"));
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { (void)grid({}, rows); }),
                 "at least one method"));
}

TEST_CASE("maps of one scope share their limit") {
  const std::vector<std::string> methods{"a", "b"};
  const auto map = [](float value) { return Tensor({1, 1}, {value}); };
  std::vector<GridRow> rows{{"", "", {}, {map(1), map(2)}}, {"", "", {}, {map(4), map(8)}}};
  const ColorMap colors = ColorMap::named("rulegrad");
  // The middle of each cell; without labels and inputs the four cells of 160 pixels are all there is.
  const auto shown = [&](LimitScope scope) {
    GridOptions options;
    options.scope = scope;
    const Picture picture = grid(methods, rows, options);
    const std::int64_t caption = scope == LimitScope::grid ? 0 : 16;
    std::vector<Rgb> result;
    for (const std::int64_t y : {100L, 100L + 160 + caption + 12})
      for (const std::int64_t x : {100L, 100L + 160 + 12}) result.push_back(pixel(picture, x, y));
    return result;
  };
  const Rgb full = colors(1.0), half = colors(0.5), quarter = colors(0.25), eighth = colors(0.125);
  CHECK(shown(LimitScope::map) == std::vector<Rgb>{full, full, full, full});
  CHECK(shown(LimitScope::row) == std::vector<Rgb>{half, full, half, full});
  CHECK(shown(LimitScope::column) == std::vector<Rgb>{quarter, quarter, full, full});
  CHECK(shown(LimitScope::grid) == std::vector<Rgb>{eighth, quarter, half, full});
}

#ifdef RULEGRAD_HAVE_PNG
TEST_CASE("renderings look as they did when someone last looked at them") {
  const Tensor attribution = sample_attribution();
  HeatmapOptions options;
  options.upscale = 4;
  for (const std::string& name : ColorMap::names()) {
    options.colormap = name;
    check_snapshot(render(attribution, options), "map-" + name);
  }
  options.colormap = "rulegrad";
  check_snapshot(overlay(sample_picture(), attribution, options), "overlay");
  options.reduce = ChannelReduction::none;
  check_snapshot(render(attribution, options), "channels");

  const std::vector<std::string> names{"MedInc", "HouseAge", "AveRooms", "Population",
                                       "a name that is much too long for its place in the chart"};
  BarChartOptions chart{.title = "housing: 3.31", .most_bars = 3};
  chart.width = 400;
  check_snapshot(bar_chart(Tensor({5}, {1.25, -0.5, 0.03125, -0.25, 0.75}), names, chart), "bars");

  const std::vector<std::string> methods{"gradient", "lrp.alpha_beta(alpha=2, beta=1)"};
  const std::vector<GridRow> rows{
      {"Egyptian cat", "p = 0.93", sample_picture(), {sample_attribution(), sample_attribution(3)}},
      {"tench, Tinca tinca and other names",
       "logit 17.31",
       sample_picture(),
       {sample_attribution(5), Tensor()}}};
  GridOptions layout;
  layout.title = "two rows, two methods";
  layout.cell_size = 96;
  check_snapshot(grid(methods, rows, layout), "grid");
  layout.overlay = OverlayOptions{};
  layout.scope = LimitScope::grid;
  layout.text_scale = 2;
  check_snapshot(grid(methods, std::span(rows).first(1), layout), "grid-overlay");
}
#endif
