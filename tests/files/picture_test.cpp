#include "rulegrad/files/picture.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "files/encoders.hpp"
#include "files/helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

using Bytes = std::vector<std::uint8_t>;

Picture read_back(const TemporaryDirectory& directory, const std::string& bytes) {
  put_bytes(directory / "picture.dat", bytes);
  return read_picture(directory / "picture.dat");
}

/// Cuts the file at every byte, then changes every byte: each cut must be refused, nothing may crash or
/// print.
void abuse(const TemporaryDirectory& directory, const std::string& whole) {
  std::vector<std::size_t> accepted;
  const std::string printed = stderr_of(directory, [&] {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string text =
          error_text(ErrorCode::io, [&] { read_back(directory, whole.substr(0, size)); });
      if (!contains(text, "picture.dat")) accepted.push_back(size);
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ 0x3C);
      try {
        read_back(directory, changed);
      } catch (const Error&) {
      }
    }
  });
  CHECK(accepted.empty());
  CHECK(printed.empty());
}

}  // namespace

TEST_CASE("a file that is neither PNG nor JPEG is refused by its content, whatever its name") {
  const TemporaryDirectory directory;
  put_bytes(directory / "a.png", "GIF89a");
  CHECK(contains(error_text(ErrorCode::io, [&] { (void)read_picture(directory / "a.png"); }),
                 "a.png' is neither a PNG nor a JPEG file"));
  put_bytes(directory / "a.png", "");
  CHECK(contains(error_text(ErrorCode::io, [&] { (void)read_picture(directory / "a.png"); }), "it is empty"));
  CHECK(
      contains(error_text(ErrorCode::io, [&] { (void)read_picture(directory / "b.png"); }), "No such file"));
}

TEST_CASE("gray becomes RGB by copying and RGB becomes gray by its luma") {
  Picture rgb(3, 1, 3);
  rgb.pixels = {255, 0, 0, 0, 255, 0, 10, 20, 30};
  const Picture gray = with_channels(rgb, 1);
  CHECK(gray.pixels == Bytes{76, 150, 18});  // 76.245, 149.685, 18.15
  CHECK(with_channels(gray, 3).pixels == Bytes{76, 76, 76, 150, 150, 150, 18, 18, 18});
  CHECK(with_channels(rgb, 3) == rgb);
  CHECK(with_channels(Picture(2, 2, 3, 255), 1) == Picture(2, 2, 1, 255));
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { (void)with_channels(rgb, 4); }), "4"));
}

#ifdef RULEGRAD_HAVE_PNG

TEST_CASE("a written PNG reads back as the same picture, and equal pictures give equal bytes") {
  const TemporaryDirectory directory;
  for (const std::int64_t channels : {1, 3}) {
    Picture picture(7, 5, channels);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i)
      picture.pixels[i] = static_cast<std::uint8_t>(37 * i);
    write_png(directory / "a.png", picture);
    CHECK(read_picture(directory / "a.png") == picture);
    write_png(directory / "b.png", picture);
    CHECK(get_bytes(directory / "a.png") == get_bytes(directory / "b.png"));
  }
  CHECK(directory.entries() == 2);
}

TEST_CASE("a picture that cannot be written leaves nothing behind") {
  const TemporaryDirectory directory;
  CHECK(contains(error_text(ErrorCode::io, [&] { write_png(directory / "none/a.png", Picture(1, 1, 3)); }),
                 "none/a.png': No such file or directory"));
  Picture wrong(2, 2, 3);
  wrong.pixels.pop_back();
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { write_png(directory / "a.png", wrong); }),
                 "needs 12 bytes (more than 0) but has 11"));
  CHECK(contains(
      error_text(ErrorCode::invalid_argument, [&] { write_png(directory / "a.png", Picture(1, 1, 4)); }),
      "1 (gray) or 3 (RGB)"));
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { write_png(directory / "a.png", Picture()); }),
                 "0"));
  CHECK(directory.entries() == 0);
}

TEST_CASE("PNG files of every bit depth and colour type are read") {
  const TemporaryDirectory directory;
  const auto pixels = [&](const PngRecipe& recipe) { return read_back(directory, encode(recipe)); };
  SUBCASE("gray of 1, 2 and 4 bits spans 0..255") {
    CHECK(pixels({.width = 8, .bit_depth = 1, .color_type = PNG_COLOR_TYPE_GRAY, .rows = {{0b10100001}}})
              .pixels == Bytes{255, 0, 255, 0, 0, 0, 0, 255});
    CHECK(pixels({.width = 4, .bit_depth = 2, .color_type = PNG_COLOR_TYPE_GRAY, .rows = {{0b00011011}}})
              .pixels == Bytes{0, 85, 170, 255});
    CHECK(pixels({.width = 2, .bit_depth = 4, .color_type = PNG_COLOR_TYPE_GRAY, .rows = {{0x1F}}}).pixels ==
          Bytes{17, 255});
  }
  SUBCASE("16 bits are scaled to 8") {
    const Picture gray = pixels({.width = 3,
                                 .bit_depth = 16,
                                 .color_type = PNG_COLOR_TYPE_GRAY,
                                 .rows = {{255, 255, 128, 255, 0, 0}}});
    CHECK(gray.channels == 1);
    CHECK(gray.pixels == Bytes{255, 128, 0});  // 33023 / 257 = 128.49
    CHECK(pixels({.width = 1, .bit_depth = 16, .rows = {{0x12, 0x34, 0xFF, 0xFF, 0, 1}}}).pixels ==
          Bytes{18, 255, 0});
  }
  SUBCASE("a palette is looked up, with its transparency over white") {
    PngRecipe recipe{
        .width = 4, .bit_depth = 2, .color_type = PNG_COLOR_TYPE_PALETTE, .rows = {{0b00011000}}};
    recipe.palette = {{10, 20, 30}, {255, 0, 0}, {0, 0, 255}};
    CHECK(pixels(recipe).pixels == Bytes{10, 20, 30, 255, 0, 0, 0, 0, 255, 10, 20, 30});
    recipe.palette_alpha = {255, 0, 51};
    CHECK(pixels(recipe).pixels == Bytes{10, 20, 30, 255, 255, 255, 204, 204, 255, 10, 20, 30});
  }
  SUBCASE("alpha is laid over white and rounded") {
    CHECK(
        pixels({.width = 2, .color_type = PNG_COLOR_TYPE_RGBA, .rows = {{10, 20, 30, 255, 100, 0, 255, 128}}})
            .pixels == Bytes{10, 20, 30, 177, 127, 255});
    const Picture gray =
        pixels({.width = 3, .color_type = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {{7, 255, 7, 0, 0, 127}}});
    CHECK(gray.channels == 1);
    CHECK(gray.pixels == Bytes{7, 255, 128});
  }
  SUBCASE("interlaced files give the same picture as plain ones") {
    PngRecipe recipe{.width = 19, .height = 13, .rows = {}};
    for (unsigned y = 0; y < 13; ++y) {
      recipe.rows.emplace_back();
      for (unsigned x = 0; x < 57; ++x) recipe.rows[y].push_back(static_cast<std::uint8_t>(x * 5 + y * 31));
    }
    const Picture plain = pixels(recipe);
    recipe.interlaced = true;
    CHECK(pixels(recipe) == plain);
    CHECK(plain.at(2, 3, 1) == 7 * 5 + 3 * 31);
  }
}

TEST_CASE("a PNG file that is cut or changed anywhere never crashes or prints, and a cut one is refused") {
  const TemporaryDirectory directory;
  PngRecipe recipe{.width = 9, .height = 6, .rows = {}};
  for (unsigned y = 0; y < 6; ++y) recipe.rows.emplace_back(27, static_cast<std::uint8_t>(40 * y + 3));
  for (const bool interlaced : {false, true}) {
    recipe.interlaced = interlaced;
    const std::string whole = encode(recipe);
    abuse(directory, whole);
    CHECK(
        contains(error_text(ErrorCode::io, [&] { read_back(directory, whole.substr(0, whole.size() - 5)); }),
                 "libpng says \"the file ends early\""));
  }
}

TEST_CASE("a PNG header that promises too many pixels is refused before memory is asked for") {
  const TemporaryDirectory directory;
  std::string bytes = encode({.width = 1, .bit_depth = 1, .color_type = PNG_COLOR_TYPE_GRAY, .rows = {{0}}});
  bytes.replace(16, 8, std::string("\x00\x0a\x00\x00\x00\x0a\x00\x00", 8));  // 655,360 x 655,360
  // The checksum of the header chunk has to agree again.
  std::uint32_t crc = 0xFFFFFFFF;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(bytes[i]);
    for (int k = 0; k < 8; ++k) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  for (std::size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<char>(~crc >> (24 - 8 * i) & 0xFFU);
  CHECK(contains(error_text(ErrorCode::io, [&] { read_back(directory, bytes); }), "more than 2^27 pixels"));
}

#else

TEST_CASE("without libpng the functions name the missing package") {
  const TemporaryDirectory directory;
  CHECK(contains(error_text(ErrorCode::io, [&] { read_back(directory, "\x89PNG\r\n"); }), "libpng-dev"));
  CHECK(contains(error_text(ErrorCode::io, [&] { write_png(directory / "a.png", Picture(1, 1, 1)); }),
                 "libpng-dev"));
  CHECK_FALSE(std::filesystem::exists(directory / "a.png"));
}

#endif

#ifdef RULEGRAD_HAVE_JPEG

TEST_CASE("JPEG files are read in colour and gray, baseline and progressive") {
  const TemporaryDirectory directory;
  Bytes rgb, gray;
  for (int i = 0; i < 24 * 16; ++i) {
    rgb.insert(rgb.end(), {200, 60, 30});
    gray.push_back(static_cast<std::uint8_t>(i % 24 * 8));
  }
  for (const bool progressive : {false, true}) {
    const Picture color = read_back(directory, encode_jpeg(24, 16, 3, rgb, progressive));
    REQUIRE(color.width == 24);
    REQUIRE(color.height == 16);
    REQUIRE(color.channels == 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) REQUIRE(std::abs(color.pixels[i] - rgb[i]) <= 3);
    const Picture ramp = read_back(directory, encode_jpeg(24, 16, 1, gray, progressive));
    REQUIRE(ramp.channels == 1);
    for (std::size_t i = 0; i < gray.size(); ++i) REQUIRE(std::abs(ramp.pixels[i] - gray[i]) <= 6);
  }
}

TEST_CASE("a CMYK JPEG file is refused with advice") {
  const TemporaryDirectory directory;
  CHECK(
      contains(error_text(ErrorCode::io, [&] { read_back(directory, encode_jpeg(8, 8, 4, Bytes(256, 90))); }),
               "CMYK"));
}

TEST_CASE("a JPEG file that is cut or changed anywhere never crashes or prints, and a cut one is refused") {
  const TemporaryDirectory directory;
  Bytes pixels;
  for (int i = 0; i < 20 * 12 * 3; ++i) pixels.push_back(static_cast<std::uint8_t>(i * i / 7));
  for (const bool progressive : {false, true}) abuse(directory, encode_jpeg(20, 12, 3, pixels, progressive));
}

#else

TEST_CASE("without libjpeg, JPEG files are refused and the missing package is named") {
  const TemporaryDirectory directory;
  CHECK(contains(error_text(ErrorCode::io, [&] { read_back(directory, "\xff\xd8\xff"); }), "libjpeg-dev"));
}

#endif

#if defined(RULEGRAD_HAVE_PNG) && defined(RULEGRAD_HAVE_JPEG)
TEST_CASE("real pictures have the sizes that their catalogue gives") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Picture cat = read_picture(*data / "images/cat.png");
  CHECK(cat.width == 512);
  CHECK(cat.height == 341);
  const Picture parrot = read_picture(*data / "images/parrot.jpg");
  CHECK(parrot.width == 512);
  CHECK(parrot.height == 929);
  CHECK(parrot.channels == 3);
  CHECK(read_picture(*data / "faces/face_64.png").channels == 1);
  const Picture kitten = read_picture(*data / "images/kitten_224.png");  // has an alpha channel
  CHECK(kitten.channels == 3);
  CHECK(kitten.at(0, 0) == 255);
  CHECK(contains(error_text(ErrorCode::io,
                            [&] {
                              const TemporaryDirectory directory;
                              const std::string whole = get_bytes(*data / "images/parrot.jpg");
                              read_back(directory, whole.substr(0, whole.size() / 2));
                            }),
                 "libjpeg says \"Premature end of"));
}
#endif
