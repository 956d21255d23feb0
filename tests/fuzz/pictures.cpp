// Pictures: PNG and JPEG files, and what is done to them on their way to a model.
#ifdef RULEGRAD_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef RULEGRAD_HAVE_JPEG
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <string>

#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/target.hpp"

namespace rulegrad::fuzz {
namespace {

[[maybe_unused]] void add_big(Bytes& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = size; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}
std::uint64_t big_at(const Bytes& bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size && at + i < bytes.size(); ++i) number = number << 8 | bytes[at + i];
  return number;
}

struct Chunk {
  std::string type;
  Bytes data;
};

constexpr std::string_view png_magic = "\x89PNG\r\n\x1a\n";

/// The chunks of a PNG file (ISO/IEC 15948, 5.3), whatever their sums.
std::vector<Chunk> chunks_of(const Bytes& input) {
  std::vector<Chunk> chunks;
  std::size_t at = png_magic.size();
  while (at + 8 <= input.size()) {
    const std::size_t length = std::min<std::size_t>(big_at(input, at, 4), input.size() - at - 8);
    const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
    chunks.push_back({std::string(begin + 4, begin + 8),
                      Bytes(begin + 8, begin + 8 + static_cast<std::ptrdiff_t>(length))});
    at += 12 + length;
  }
  return chunks;
}

Bytes file_of(const std::vector<Chunk>& chunks, [[maybe_unused]] bool right_sums) {
  Bytes bytes(png_magic.begin(), png_magic.end());
#ifdef RULEGRAD_HAVE_ZLIB
  for (const Chunk& chunk : chunks) {
    add_big(bytes, chunk.data.size(), 4);
    const std::size_t begin = bytes.size();
    bytes.insert(bytes.end(), chunk.type.begin(), chunk.type.end());
    bytes.insert(bytes.end(), chunk.data.begin(), chunk.data.end());
    add_big(bytes, right_sums ? crc32_z(0, bytes.data() + begin, bytes.size() - begin) : 0, 4);
  }
#else
  (void)chunks;
#endif
  return bytes;
}

[[maybe_unused]] Bytes fresh_png(RandomEngine& random) {
  static constexpr int depths[] = {1, 2, 4, 8, 16};
  static constexpr int colours[] = {0, 2, 3, 4, 6};
  static constexpr int channels[] = {1, 3, 1, 2, 4};
  const std::size_t kind = below(random, 5);
  const int colour = colours[kind];
  const int depth = colour == 0   ? depths[below(random, 5)]
                    : colour == 3 ? depths[below(random, 4)]
                                  : depths[3 + below(random, 2)];
  const std::size_t width = 1 + below(random, 12), height = 1 + below(random, 12);
  const bool interlaced = one_in(random, 4);
  Chunk header{"IHDR", {}}, pixels{"IDAT", {}};
  add_big(header.data, width, 4);
  add_big(header.data, height, 4);
  for (const int number : {depth, colour, 0, 0, interlaced ? 1 : 0})
    header.data.push_back(static_cast<std::uint8_t>(number));
  Bytes raw;
  // More rows than needed: what is too much is ignored, also where interlacing asks for more of them.
  for (std::size_t y = 0; y < (interlaced ? 4 * height + 16 : height); ++y) {
    raw.push_back(static_cast<std::uint8_t>(below(random, 5)));
    for (std::size_t i = 0; i < (width * static_cast<std::size_t>(channels[kind] * depth) + 7) / 8; ++i)
      raw.push_back(static_cast<std::uint8_t>(random()));
  }
#ifdef RULEGRAD_HAVE_ZLIB
  uLongf length = compressBound(raw.size());
  pixels.data.resize(length);
  (void)compress(pixels.data.data(), &length, raw.data(), raw.size());
  pixels.data.resize(length);
#endif
  std::vector<Chunk> chunks{header};
  if (colour == 3) {
    Chunk palette{"PLTE", {}};
    for (int i = 0; i < 3 << depth; ++i) palette.data.push_back(static_cast<std::uint8_t>(random()));
    chunks.push_back(palette);
  }
  if (one_in(random, 3)) chunks.push_back({"tRNS", Bytes(colour == 2 ? 6 : 2, 0)});
  if (one_in(random, 3)) chunks.push_back({"tEXt", Bytes{'a', 0, 'b'}});
  chunks.push_back(pixels);
  chunks.push_back({"IEND", {}});
  return file_of(chunks, true);
}

[[maybe_unused]] Bytes fresh_jpeg([[maybe_unused]] RandomEngine& random) {
#ifdef RULEGRAD_HAVE_JPEG
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = static_cast<JDIMENSION>(1 + below(random, 20));
  jpeg.image_height = static_cast<JDIMENSION>(1 + below(random, 20));
  jpeg.input_components = one_in(random, 3) ? 1 : 3;
  jpeg.in_color_space = jpeg.input_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, static_cast<int>(1 + below(random, 100)), TRUE);
  if (one_in(random, 3)) jpeg_simple_progression(&jpeg);
  if (one_in(random, 4)) jpeg.restart_interval = 2;
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<JSAMPLE> row(jpeg.image_width * static_cast<std::size_t>(jpeg.input_components));
  while (jpeg.next_scanline < jpeg.image_height) {
    for (JSAMPLE& value : row) value = static_cast<JSAMPLE>(random());
    JSAMPROW line = row.data();
    jpeg_write_scanlines(&jpeg, &line, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  Bytes bytes(memory, memory + size);
  std::free(memory);
  return bytes;
#else
  return {0xFF, 0xD8};
#endif
}

Bytes fresh(RandomEngine& random) {
  return one_in(random, 2) ? fresh_png(random) : fresh_jpeg(random);
}

void mutate_png(Bytes& input, RandomEngine& random) {
  std::vector<Chunk> chunks = chunks_of(input);
  if (chunks.empty()) return mutate_bytes(input, random);
  const std::size_t at = below(random, chunks.size());
  Chunk& chunk = chunks[at];
  switch (below(random, 6)) {
    case 0:
      chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(below(random, chunks.size())), Chunk(chunk));
      break;
    case 2:
      std::swap(chunk, chunks[below(random, chunks.size())]);
      break;
    case 3: {
      static constexpr std::string_view types[] = {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA",
                                                   "iCCP", "sBIT", "zTXt", "bKGD", "pHYs"};
      chunk.type = pick(random, types);
      break;
    }
    case 4: {
      // Extents and kinds of the header.
      const auto number = static_cast<std::uint64_t>(any_number(random));
      Bytes& data = chunks[0].data;
      if (data.size() < 13) return mutate_bytes(input, random);
      if (one_in(random, 2))
        for (std::size_t i = 0, place = 4 * below(random, 2); i < 4; ++i)
          data[place + i] = static_cast<std::uint8_t>(number >> (8 * (3 - i)));
      else
        data[8 + below(random, 5)] = static_cast<std::uint8_t>(below(random, 18));
      break;
    }
    default:
      mutate_bytes(chunk.data, random);
      break;
  }
  input = file_of(chunks, !one_in(random, 12));
}

/// Segments of a JPEG file (ITU-T T.81, B.1): their numbers, order and lengths.
void mutate_jpeg(Bytes& input, RandomEngine& random) {
  std::vector<std::size_t> starts;
  std::size_t at = 2;
  while (at + 4 <= input.size() && input[at] == 0xFF) {
    starts.push_back(at);
    if (input[at + 1] == 0xDA) break;  // entropy-coded data follow
    at += 2 + big_at(input, at + 2, 2);
  }
  if (starts.empty() || one_in(random, 4)) return mutate_bytes(input, random);
  const std::size_t begin = starts[below(random, starts.size())];
  const std::size_t length = std::min<std::size_t>(2 + big_at(input, begin + 2, 2), input.size() - begin);
  const Bytes segment(input.begin() + static_cast<std::ptrdiff_t>(begin),
                      input.begin() + static_cast<std::ptrdiff_t>(begin + length));
  switch (below(random, 4)) {
    case 0:
      input.erase(input.begin() + static_cast<std::ptrdiff_t>(begin),
                  input.begin() + static_cast<std::ptrdiff_t>(begin + length));
      break;
    case 1:
      input.insert(input.begin() + static_cast<std::ptrdiff_t>(starts[below(random, starts.size())]),
                   segment.begin(), segment.end());
      break;
    case 2: {
      static constexpr std::uint8_t markers[] = {0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB,
                                                 0xDD, 0xE0, 0xEE, 0xFE, 0xC9, 0xCC};
      input[begin + 1] = pick(random, markers);
      break;
    }
    default: {
      const std::size_t place = begin + 2 + below(random, std::min<std::size_t>(length, 20));
      const auto number = static_cast<std::uint64_t>(any_number(random));
      for (std::size_t i = 0; i < (one_in(random, 2) ? 1U : 2U) && place + i < input.size(); ++i)
        input[place + i] = static_cast<std::uint8_t>(number >> (8 * i));
      break;
    }
  }
}

void mutate(Bytes& input, RandomEngine& random) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  if (one_in(random, 8)) return mutate_bytes(input, random);
  text.starts_with(png_magic) ? mutate_png(input, random) : mutate_jpeg(input, random);
}

Reached run(std::span<const std::uint8_t> input) {
  static const ScratchFile file(".picture"), again(".png");
  file.write(input);
  io::Picture picture;
  if (!answers([&] { picture = io::read_picture(file.path()); })) return Reached::refused;
  if (picture.pixels.size() != static_cast<std::size_t>(picture.width * picture.height * picture.channels))
    finding("a picture whose pixels do not fill it");
  if (picture.pixels.size() > std::size_t{1} << 22) return Reached::read;
  const bool used = answers([&] {
    (void)io::to_input(picture, io::preprocessing_from_name(digest(input) % 2 == 0 ? "imagenet" : "unit"), 8,
                       8, 3);
    (void)io::with_channels(picture, 1);
    io::write_png(again.path(), picture);
    if (io::read_picture(again.path()) != picture)
      finding("a picture that is written and read is another one");
  });
  return used ? Reached::explained : Reached::read;
}

}  // namespace

const Target& target() {
  static const Target pictures{"pictures", run, fresh, mutate};
  return pictures;
}

}  // namespace rulegrad::fuzz
