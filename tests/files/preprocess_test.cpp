#include "rulegrad/files/preprocess.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <vector>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "files/helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

using Bytes = std::vector<std::uint8_t>;

Picture noise(std::int64_t width, std::int64_t height, std::int64_t channels) {
  Picture picture(width, height, channels);
  std::uint32_t state = 12345;
  for (std::uint8_t& value : picture.pixels) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<std::uint8_t>(state >> 24);
  }
  return picture;
}

/// Antialiased bilinear resizing from its definition: every output pixel is the average of all input pixels,
/// weighted by max(0, 1 - |distance| / radius), in one step and without rounding in between.
double defined(const Picture& picture, std::int64_t width, std::int64_t height, std::int64_t x,
               std::int64_t y, std::int64_t channel) {
  const auto weight = [](std::int64_t from, std::int64_t to, std::int64_t i, std::int64_t k) {
    const double ratio = static_cast<double>(from) / static_cast<double>(to);
    const double distance = std::abs((static_cast<double>(k) + 0.5) - (static_cast<double>(i) + 0.5) * ratio);
    return std::max(0.0, 1.0 - distance / std::max(1.0, ratio));
  };
  double sum = 0.0, total = 0.0;
  for (std::int64_t v = 0; v < picture.height; ++v)
    for (std::int64_t u = 0; u < picture.width; ++u) {
      const double w = weight(picture.width, width, x, u) * weight(picture.height, height, y, v);
      sum += w * picture.at(u, v, channel);
      total += w;
    }
  return sum / total;
}

}  // namespace

TEST_CASE("resizing follows the definition of antialiased bilinear interpolation") {
  const Picture picture = noise(23, 17, 3);
  for (const auto& [width, height] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {10, 8}, {40, 9}, {7, 31}, {50, 50}, {1, 1}, {23, 5}}) {
    const Picture resized = resize(picture, width, height);
    REQUIRE(resized.width == width);
    REQUIRE(resized.height == height);
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          // Half a step from rounding the result, and as much from rounding between the axes.
          REQUIRE(std::abs(resized.at(x, y, c) - defined(picture, width, height, x, y, c)) <= 1.0);
  }
  CHECK(resize(picture, 23, 17) == picture);
}

TEST_CASE("resizing gives the numbers worked out by hand") {
  Picture row(2, 1, 1);
  row.pixels = {0, 255};
  CHECK(resize(row, 4, 1).pixels == Bytes{0, 64, 191, 255});
  Picture step(4, 1, 1);
  step.pixels = {0, 0, 255, 255};
  CHECK(resize(step, 2, 1).pixels == Bytes{36, 219});  // weights 3/7, 3/7, 1/7
  CHECK(resize(Picture(9, 9, 3, 77), 4, 13) == Picture(4, 13, 3, 77));
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { (void)resize(row, 0, 3); }), "0 x 3"));
}

TEST_CASE("a crop is the rectangle asked for and stays inside the picture") {
  const Picture picture = noise(6, 5, 3);
  const Picture part = crop(picture, 2, 1, 3, 4);
  for (std::int64_t y = 0; y < 4; ++y)
    for (std::int64_t x = 0; x < 3; ++x)
      for (std::int64_t c = 0; c < 3; ++c) CHECK(part.at(x, y, c) == picture.at(x + 2, y + 1, c));
  for (const auto& corner :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{4, 0}, {-1, 0}, {0, 2}, {0, -1}})
    CHECK(contains(error_text(ErrorCode::invalid_argument,
                              [&] { (void)crop(picture, corner.first, corner.second, 3, 4); }),
                   "not inside"));
}

TEST_CASE("the model's formula holds for every layout, colour order and recipe") {
  const Picture picture = noise(5, 4, 3);
  for (const std::string& name : preprocessing_names())
    for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
      Preprocessing recipe = preprocessing_from_name(name);
      recipe.layout = layout;
      const Tensor x = to_input(picture, recipe, 4, 5, 3, DType::float64);
      const Tensor narrow = to_input(picture, recipe, 4, 5, 3);
      REQUIRE(x.dims() == (layout == Layout::nchw ? Dims{1, 3, 4, 5} : Dims{1, 4, 5, 3}));
      REQUIRE(narrow.dtype() == DType::float32);
      for (std::int64_t row = 0; row < 4; ++row)
        for (std::int64_t column = 0; column < 5; ++column)
          for (std::int64_t c = 0; c < 3; ++c) {
            const double p = picture.at(column, row, name == "caffe" ? 2 - c : c);
            double expected = p;
            if (name == "unit") expected = p / 255;
            if (name == "signed") expected = p / 127.5 - 1;
            if (name == "caffe") expected = p - std::vector<double>{104, 117, 123}[c];
            if (name == "imagenet")
              expected = (p / 255 - std::vector<double>{0.485, 0.456, 0.406}[c]) /
                         std::vector<double>{0.229, 0.224, 0.225}[c];
            const std::int64_t at =
                layout == Layout::nchw ? (c * 4 + row) * 5 + column : (row * 5 + column) * 3 + c;
            REQUIRE(x.at(at) == doctest::Approx(expected).epsilon(1e-13));
            REQUIRE(narrow.at(at) == static_cast<double>(static_cast<float>(x.at(at))));
          }
      CHECK(from_input(x, recipe) == picture);
      CHECK(from_input(narrow, recipe) == picture);
    }
}

TEST_CASE("one mean serves all channels, and other counts are refused") {
  const Picture picture = noise(2, 2, 3);
  CHECK(to_input(picture, {.scale = 1, .mean = {10}, .std = {2}}, 2, 2, 3).at(0) ==
        (picture.at(0, 0, 0) - 10) / 2.0);
  const auto refused = [&](const Preprocessing& recipe, std::int64_t channels = 3) {
    return error_text(ErrorCode::invalid_argument, [&] { (void)to_input(picture, recipe, 2, 2, channels); });
  };
  CHECK(contains(refused({.mean = {1, 2}}), "mean has 2 values but the model has 3 channels"));
  CHECK(contains(refused({.mean = {1, 2, 3}}, 1), "mean has 3 values but the model has 1 channels"));
  CHECK(contains(refused({.std = {1, 0, 1}}), "channel 1 has mean 0 and std 0"));
  CHECK(contains(refused({.scale = 0}), "scale is 0"));
  CHECK(contains(refused({}, 4), "not 4"));
  CHECK(contains(error_text(ErrorCode::dtype, [&] { (void)to_input(picture, {}, 2, 2, 3, DType::uint8); }),
                 "uint8"));
  CHECK(contains(error_text(ErrorCode::unknown_name, [] { (void)preprocessing_from_name("imagnet"); }),
                 "did you mean 'imagenet'?"));
}

TEST_CASE("pictures are converted between gray and colour for the model") {
  const Picture gray = noise(4, 4, 1);
  const Tensor three = to_input(gray, {}, 4, 4, 3);
  for (std::int64_t i = 0; i < 16; ++i)
    for (std::int64_t c = 0; c < 3; ++c)
      CHECK(three.at(c * 16 + i) == gray.pixels[static_cast<std::size_t>(i)]);
  const Picture color = noise(4, 4, 3);
  const Tensor one = to_input(color, {}, 4, 4, 1);
  CHECK(one.dims() == Dims{1, 1, 4, 4});
  for (std::int64_t i = 0; i < 16; ++i) {
    const std::uint8_t* p = &color.pixels[static_cast<std::size_t>(3 * i)];
    CHECK(std::abs(one.at(i) - (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2])) <= 0.501);
  }
}

TEST_CASE("what the model sees is the middle of the picture at the model's size") {
  SUBCASE("the target is covered by the least resizing") {
    // A bright bar down the middle of a wide picture stays in the middle.
    Picture wide(40, 10, 1, 0);
    for (std::int64_t y = 0; y < 10; ++y)
      for (std::int64_t x = 18; x < 22; ++x) wide.pixels[wide.index(x, y)] = 255;
    const Picture seen = crop_for_overlay(wide, {}, 10, 10);
    CHECK(seen == crop(wide, 15, 0, 10, 10));
    CHECK(crop_for_overlay(wide, {}, 5, 5) == crop(resize(wide, 20, 5), 8, 0, 5, 5));  // 7.5 rounds to even
    CHECK(crop_for_overlay(wide, {}, 20, 10) == crop(resize(wide, 80, 20), 35, 0, 10, 20));
    CHECK(crop_for_overlay(wide, {}, 3, 40) == crop(wide, 0, 4, 40, 3));  // 3.5 rounds to 4
    CHECK(crop_for_overlay(Picture(10, 40, 1, 9), {}, 10, 10) == Picture(10, 10, 1, 9));
  }
  SUBCASE("the shorter side is set first when asked for") {
    const Picture picture = noise(64, 48, 3);
    const Preprocessing recipe{.short_side = 32};
    CHECK(crop_for_overlay(picture, recipe, 28, 28) == crop(resize(picture, 42, 32), 7, 2, 28, 28));
    CHECK(crop_for_overlay(resize(picture, 28, 28), recipe, 28, 28) == resize(picture, 28, 28));
    CHECK(contains(
        error_text(ErrorCode::invalid_argument, [&] { (void)crop_for_overlay(picture, recipe, 40, 28); }),
        "too few for a crop"));
  }
  CHECK(contains(
      error_text(ErrorCode::invalid_argument, [] { (void)crop_for_overlay(Picture(2, 2, 1), {}, 0, 2); }),
      "0 x 2"));
}

TEST_CASE("inputs turn back into pictures, entry by entry") {
  const Tensor batch({2, 1, 2}, {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{3}, std::uint8_t{4}});
  CHECK(from_input(batch.reshaped({2, 1, 1, 2}), {}, 1).pixels == Bytes{3, 4});
  CHECK(from_input(batch.reshaped({2, 2}), {}).pixels == Bytes{1, 2, 3, 4});
  CHECK(from_input(Tensor({1, 3}, {-5.0F, 99.5F, 300.0F}), {}).pixels == Bytes{0, 100, 255});
  CHECK(contains(error_text(ErrorCode::shape, [&] { (void)from_input(batch, {}, 3); }), "no entry 3"));
  CHECK(contains(error_text(ErrorCode::non_finite,
                            [] {
                              (void)from_input(Tensor({1, 1}, {std::numeric_limits<float>::quiet_NaN()}), {});
                            }),
                 "nan"));
}

#ifdef RULEGRAD_HAVE_PNG
TEST_CASE("real pictures reach a model as their catalogue describes") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Picture cat = read_picture(*data / "images/cat_224.png");
  const Tensor caffe = to_input(cat, preprocessing_from_name("caffe"), 224, 224, 3);
  const Tensor torch = to_input(cat, preprocessing_from_name("signed"), 224, 224, 3);
  const std::vector<float> means{104, 117, 123};
  for (std::int64_t i = 0; i < 224 * 224; ++i)
    for (std::int64_t c = 0; c < 3; ++c) {
      REQUIRE(caffe.at(c * 224 * 224 + i) ==
              cat.at(i % 224, i / 224, 2 - c) - means[static_cast<std::size_t>(c)]);
      REQUIRE(torch.at(c * 224 * 224 + i) ==
              doctest::Approx(cat.at(i % 224, i / 224, c) / 127.5 - 1).epsilon(1e-6));
    }
  // The catalogue's 224 x 224 pictures: short side to 256 (bilinear), centre crop.
  const Preprocessing recipe{.short_side = 256};
  for (const std::string name : {"cat", "grace_hopper"}) {
    const Picture seen =
        crop_for_overlay(read_picture(*data / ("images/" + name + ".png")), recipe, 224, 224);
    const Picture stored = read_picture(*data / ("images/" + name + "_224.png"));
    int most = 0;
    double sum = 0;
    for (std::size_t i = 0; i < seen.pixels.size(); ++i) {
      const int difference = std::abs(seen.pixels[i] - stored.pixels[i]);
      most = std::max(most, difference);
      sum += difference;
    }
    MESSAGE(name, ": largest difference ", most, ", mean ", sum / static_cast<double>(seen.pixels.size()));
    CHECK(most <= 1);
  }
}
#endif
