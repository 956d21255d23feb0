#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "files/codec.hpp"
#include "support/missing_feature.hpp"

#ifdef RULEGRAD_HAVE_PNG
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <png.h>
#endif

namespace rulegrad::io {

#ifdef RULEGRAD_HAVE_PNG

namespace {

// libpng's simplified interface takes a gAMA chunk at its word and lays alpha over a background in linear
// light, where Pillow and torchvision, whose networks these are, do neither; and it knows no compression
// level.
//
// libpng leaves through longjmp. Whatever owns memory therefore lives in one of these, outside the function
// that calls setjmp, and nothing with a destructor lives inside it.
struct PngReading {
  std::span<const std::byte> rest;
  std::size_t size = 0;  ///< of the whole file
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[200] = "";
  std::int64_t width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<png_bytep> rows;

  PngReading() = default;
  PngReading(const PngReading&) = delete;
  PngReading& operator=(const PngReading&) = delete;
  ~PngReading() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writing {
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[200] = "";
  std::vector<std::byte> bytes;

  Writing() = default;
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() { png_destroy_write_struct(&png, &info); }
};

template <class State>
[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& state = *static_cast<State*>(png_get_error_ptr(png));
  std::snprintf(state.message, sizeof state.message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

constexpr const char* ends_early = "the file ends early";

/// Does a chunk say that it is longer than what is left of the file? libpng makes and clears room for all of it before it
/// reads the first byte.
bool claims_more(std::span<const std::byte> file) {
  constexpr std::size_t signature = 8, around = 12;  // length, name and sum of a chunk
  while (file.size() > signature) {
    std::size_t length = 0;
    // An unfinished head ends in whatever libpng says of it.
    if (file.size() < signature + around) return false;
    for (std::size_t i = 0; i < 4; ++i)
      length = length << 8U | std::to_integer<std::size_t>(file[signature + i]);
    if (length > file.size() - signature - around) return true;
    if (std::memcmp(file.data() + signature + 4, "IEND", 4) == 0) return false;
    file = file.subspan(around + length);
  }
  return false;
}

void on_read(png_structp png, png_bytep out, std::size_t size) {
  auto& state = *static_cast<PngReading*>(png_get_io_ptr(png));
  if (size > state.rest.size()) png_error(png, ends_early);
  std::memcpy(out, state.rest.data(), size);
  state.rest = state.rest.subspan(size);
}

void on_write(png_structp png, png_bytep data, std::size_t size) {
  auto& bytes = static_cast<Writing*>(png_get_io_ptr(png))->bytes;
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), begin, begin + size);
}

bool decode(PngReading& state) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  png_set_read_fn(state.png, &state, on_read);
  if (claims_more(state.rest)) png_error(state.png, ends_early);
  png_read_info(state.png, state.info);
  state.width = png_get_image_width(state.png, state.info);
  state.height = png_get_image_height(state.png, state.info);
  if (state.height > most_pixels / state.width) png_error(state.png, "more than 2^27 pixels");
  // Deflate packs at most 1032 to 1: a file that claims more is refused before there is memory for it.
  constexpr std::size_t most_packed = 1032;
  if (png_get_rowbytes(state.png, state.info) * static_cast<std::size_t>(state.height) / most_packed >
      state.size)
    png_error(state.png, "more pixels than so small a file can hold");
  png_set_expand(state.png);
  png_set_scale_16(state.png);
  png_set_interlace_handling(state.png);
  png_read_update_info(state.png, state.info);
  state.channels = png_get_channels(state.png, state.info);
  const std::size_t row = static_cast<std::size_t>(state.width * state.channels);
  if (png_get_rowbytes(state.png, state.info) != row) png_error(state.png, "rows of an unexpected size");
  state.pixels.resize(row * static_cast<std::size_t>(state.height));
  state.rows.resize(static_cast<std::size_t>(state.height));
  for (std::size_t y = 0; y < state.rows.size(); ++y) state.rows[y] = state.pixels.data() + y * row;
  png_read_image(state.png, state.rows.data());
  png_read_end(state.png, nullptr);
  return true;
}

bool encode(Writing& state, const Picture& picture) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  png_set_write_fn(state.png, &state, on_write, nullptr);
  // Rows of magnified maps repeat the row above: with that taken off, level 6 takes 66 ms for 224 x 224
  // values as squares of 4 pixels and 183 kB; libpng's own choice of filters at level 9 takes 1.2 s and 206
  // kB.
  png_set_compression_level(state.png, 6);
  png_set_filter(state.png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
  png_set_IHDR(state.png, state.info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8,
               picture.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(state.png, state.info);
  const std::size_t row = static_cast<std::size_t>(picture.width * picture.channels);
  for (std::size_t y = 0; y < static_cast<std::size_t>(picture.height); ++y)
    png_write_row(state.png, picture.pixels.data() + y * row);
  png_write_end(state.png, nullptr);
  return true;
}

/// Lays gray-alpha or RGBA over white.
Picture flatten(const PngReading& state) {
  const bool alpha = state.channels % 2 == 0;
  Picture result(state.width, state.height, alpha ? state.channels - 1 : state.channels);
  if (!alpha) {
    result.pixels = state.pixels;
    return result;
  }
  const std::size_t colors = static_cast<std::size_t>(result.channels);
  const std::size_t count = static_cast<std::size_t>(state.width * state.height);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* from = &state.pixels[i * (colors + 1)];
    const unsigned opacity = from[colors];
    for (std::size_t c = 0; c < colors; ++c)
      result.pixels[i * colors + c] =
          static_cast<std::uint8_t>((opacity * from[c] + (255U - opacity) * 255U + 127U) / 255U);
  }
  return result;
}

}  // namespace

Picture decode_png(std::span<const std::byte> file, std::string_view where) {
  PngReading state;
  state.rest = file;
  state.size = file.size();
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error<PngReading>, on_warning);
  if (state.png != nullptr) state.info = png_create_info_struct(state.png);
  if (state.info == nullptr || !decode(state))
    throw Error(ErrorCode::io, fmt::format("[read_picture] '{}' is not a whole PNG file: libpng says \"{}\"",
                                           where, state.message));
  return flatten(state);
}

std::vector<std::byte> encode_png(const Picture& picture, std::string_view where) {
  Writing state;
  state.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error<Writing>, on_warning);
  if (state.png != nullptr) state.info = png_create_info_struct(state.png);
  if (state.info == nullptr || !encode(state, picture))
    throw Error(ErrorCode::io, fmt::format("[write_png] cannot write '{}' ({} x {}): libpng says \"{}\"",
                                           where, picture.width, picture.height, state.message));
  return std::move(state.bytes);
}

#else

Picture decode_png(std::span<const std::byte>, std::string_view where) {
  fail_missing_feature(fmt::format("read_picture '{}'", where), "png");
}
std::vector<std::byte> encode_png(const Picture&, std::string_view where) {
  fail_missing_feature(fmt::format("write_png '{}'", where), "png");
}

#endif

}  // namespace rulegrad::io
