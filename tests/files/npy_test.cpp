#include "rulegrad/files/npy.hpp"

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "files/half.hpp"
#include "files/helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

/// The bytes of an .npy file with this dictionary as it stands.
std::string npy(std::string_view dictionary, std::string_view data, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    bytes += static_cast<char>(dictionary.size() >> (8 * i) & 0xFFU);
  return bytes + std::string(dictionary) + std::string(data);
}

std::string dictionary(std::string_view descr, std::string_view shape, bool fortran = false) {
  return "{'descr': '" + std::string(descr) + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + std::string(shape) + ", }    \n";
}

template <class T>
std::string little_endian(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));  // the tests run on little-endian machines only
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(bits >> (8 * i) & 0xFFU);
  }
  return bytes;
}

template <class T>
std::string big_endian(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) {
    const std::string one = little_endian(std::vector<T>{value});
    bytes.append(one.rbegin(), one.rend());
  }
  return bytes;
}

Tensor read_back(const TemporaryDirectory& directory, const std::string& bytes) {
  put_bytes(directory / "array.npy", bytes);
  return read_npy(directory / "array.npy");
}

template <class T>
std::vector<T> elements(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  return {values.begin(), values.end()};
}

std::string refused(const TemporaryDirectory& directory, const std::string& bytes) {
  return error_text(ErrorCode::io, [&] { read_back(directory, bytes); });
}

}  // namespace

TEST_CASE("every dtype comes back from an .npy file bit by bit") {
  const TemporaryDirectory directory;
  const auto path = directory / "array.npy";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Tensor& tensor :
       {Tensor({2, 3}, {1.5F, -0.0F, nan, 3e38F, 1e-45F, -2.0F}), Tensor({3}, {1.0, -1e300, 5e-324}),
        Tensor({2, 1, 2}, {1, -2, 2147483647, -2147483647}), Tensor({2}, {std::int64_t{-5}, INT64_MAX}),
        Tensor({4}, {std::uint8_t{0}, std::uint8_t{255}, std::uint8_t{7}, std::uint8_t{128}}),
        Tensor({2}, {std::int8_t{-128}, std::int8_t{127}}), Tensor({3}, {true, false, true}),
        Tensor::scalar(DType::float64, 2.5), Tensor(DType::float32, {0, 3})}) {
    write_npy(path, tensor);
    CHECK(identical(read_npy(path), tensor));
    CHECK(get_bytes(path).find('\n') % 64 == 63);  // data begin at a multiple of 64, as NumPy wants it
  }
  CHECK(directory.entries() == 1);
}

TEST_CASE("an .npy header is written as NumPy writes it") {
  const TemporaryDirectory directory;
  const auto header = [&](const Dims& dims) {
    write_npy(directory / "a.npy", Tensor(DType::float32, dims));
    return get_bytes(directory / "a.npy").substr(0, 128);
  };
  CHECK(header({2, 3}).substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  CHECK(contains(header({2, 3}), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
  CHECK(contains(header({5}), "'shape': (5,), }"));
  CHECK(contains(header({}), "'shape': (), }"));
}

TEST_CASE("big-endian, Fortran-ordered and narrow .npy arrays are converted to what they mean") {
  const TemporaryDirectory directory;
  SUBCASE("big-endian") {
    CHECK(elements<float>(
              read_back(directory, npy(dictionary(">f4", "(3,)"), big_endian<float>({1, -2.5, 1e9F})))) ==
          std::vector<float>{1, -2.5, 1e9F});
    CHECK(elements<double>(
              read_back(directory, npy(dictionary(">f8", "(2,)"), big_endian<double>({0.1, -7})))) ==
          std::vector<double>{0.1, -7});
    CHECK(elements<std::int64_t>(read_back(
              directory, npy(dictionary(">i8", "(2,)"), big_endian<std::int64_t>({-3, INT64_MAX})))) ==
          std::vector<std::int64_t>{-3, INT64_MAX});
  }
  SUBCASE("column by column: element (i, j, k) of a Fortran array lies at i + 2 j + 6 k") {
    std::vector<std::int32_t> stored(24);
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j)
        for (int k = 0; k < 4; ++k) stored[i + 2 * j + 6 * k] = 100 * i + 10 * j + k;
    for (const bool big : {false, true}) {
      const Tensor tensor = read_back(directory, npy(dictionary(big ? ">i4" : "<i4", "(2, 3, 4)", true),
                                                     big ? big_endian(stored) : little_endian(stored)));
      REQUIRE(tensor.dims() == Dims{2, 3, 4});
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 3; ++j)
          for (int k = 0; k < 4; ++k) CHECK(tensor.at(i * 12 + j * 4 + k) == 100 * i + 10 * j + k);
    }
  }
  SUBCASE("narrow types widen without loss") {
    CHECK(elements<std::int32_t>(read_back(
              directory, npy(dictionary("<u2", "(2,)"), little_endian<std::uint16_t>({65535, 1})))) ==
          std::vector<std::int32_t>{65535, 1});
    CHECK(elements<std::int32_t>(
              read_back(directory, npy(dictionary(">i2", "(2,)"), big_endian<std::int16_t>({-32768, 5})))) ==
          std::vector<std::int32_t>{-32768, 5});
    CHECK(elements<std::int64_t>(read_back(
              directory, npy(dictionary("<u4", "(1,)"), little_endian<std::uint32_t>({4294967295U})))) ==
          std::vector<std::int64_t>{4294967295});
  }
  SUBCASE("float16 becomes the float32 of the same value") {
    const std::vector<std::uint16_t> halves{0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x8000, 0x7C00, 0x3555};
    const std::vector<float> expected{1.0F,     -2.0F, 65504.0F, 0x1p-14F,
                                      0x1p-24F, -0.0F, INFINITY, 0.333251953125F};
    for (const bool big : {false, true}) {
      const Tensor tensor = read_back(directory, npy(dictionary(big ? ">f2" : "<f2", "(8,)"),
                                                     big ? big_endian(halves) : little_endian(halves)));
      CHECK(identical(tensor, Tensor({8}, std::span<const float>(expected))));
    }
  }
  SUBCASE("any byte that is not 0 is true") {
    const Tensor tensor =
        read_back(directory, npy(dictionary("|b1", "(3,)"), std::string("\x00\x01\x07", 3)));
    CHECK(tensor.bytes() == 3);
    CHECK(tensor.at(0) == 0);
    CHECK(tensor.at(1) == 1);
    CHECK(tensor.at(2) == 1);
  }
}

TEST_CASE("each of the 65,536 halves has the value that its fields spell") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = (bits & 1023) / 1024.0;
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    if (exponent == 31) {
      REQUIRE((fraction == 0.0 ? std::isinf(value) : std::isnan(value)));
    } else {
      const double expected =
          exponent == 0 ? fraction * 0x1p-14 : (1.0 + fraction) * std::ldexp(1.0, exponent - 15);
      REQUIRE(static_cast<double>(value) == sign * expected);
    }
    REQUIRE(std::signbit(value) == (sign < 0));
  }
}

TEST_CASE("format versions 2 and 3, double quotes, any key order and old long integers are read") {
  const TemporaryDirectory directory;
  const std::string data = little_endian<float>({1, 2, 3, 4, 5, 6});
  for (const int version : {1, 2, 3})
    CHECK(read_back(directory, npy(dictionary("<f4", "(2, 3)"), data, version)).dims() == Dims{2, 3});
  CHECK(read_back(directory, npy("{\"shape\":(2L,3L),\"descr\":\"<f4\",\"fortran_order\":False}", data))
            .dims() == Dims{2, 3});
}

TEST_CASE("an .npy file cut at any byte is refused, and the error names the file") {
  const TemporaryDirectory directory;
  write_npy(directory / "whole.npy", Tensor({2, 2}, {1.0F, 2.0F, 3.0F, 4.0F}));
  const std::string whole = get_bytes(directory / "whole.npy");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string text = refused(directory, whole.substr(0, size));
    REQUIRE_MESSAGE(contains(text, "array.npy'"), size, ": ", text);
  }
  CHECK(contains(refused(directory, whole.substr(0, whole.size() - 1)),
                 "shape [2, 2] of '<f4' needs 16 bytes of data but the file has 15: it was cut off"));
  CHECK(contains(refused(directory, whole + "x"), "the file has 17: something follows the array"));
}

TEST_CASE("an odd .npy header says what was found and what was expected") {
  const TemporaryDirectory directory;
  const auto text = [&](std::string_view dict) { return refused(directory, npy(dict, "")); };
  CHECK(contains(refused(directory, "PK\x03\x04"), "not with the magic string"));
  CHECK(contains(refused(directory, ""), "empty"));
  CHECK(contains(refused(directory, npy("{}", "", 4)), "version 4.0; expected 1.0, 2.0 or 3.0"));
  CHECK(contains(text("{}"), "the key 'descr' is missing"));
  CHECK(contains(text("{'descr': '<f4', 'shape': (1,)}"), "'fortran_order' is missing"));
  CHECK(contains(text("{'descr': '<f4', 'descr': '<f4'}"), "'descr' stands there twice"));
  CHECK(contains(text("{'order': 'C'}"), "unknown key 'order'"));
  CHECK(
      contains(text("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"), "structured dtype"));
  CHECK(contains(text("{'descr': '<f4', 'fortran_order': Maybe}"), "expected True or False at byte 34"));
  CHECK(contains(text("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "extent of at least 0"));
  CHECK(contains(text("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}"), "',' or ')'"));
  CHECK(contains(text("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + 1"),
                 "text after the dictionary"));
  CHECK(contains(text("{'descr': '<f4"), "closing quote"));
  CHECK(contains(text("   "), "expected '{'"));
  for (const std::string_view descr : {"<c8", "|O", "<U5", "<u8", "|f4", "f4", "", "<"})
    CHECK(contains(text(dictionary(descr, "(1,)")),
                   "'" + std::string(descr) + "' is not one that rulegrad reads"));
  for (const std::string_view shape :
       {"(4611686018427387904, 4)", "(3037000500, 3037000500)", "(0, 4611686018427387904, 64)"})
    CHECK(contains(text(dictionary("<f4", shape)), "more elements than can be stored"));
  CHECK(contains(text(dictionary("<f4", "(99999999999999999999,)")), "extent"));
  CHECK(contains(text(dictionary("<f8", "(1000000000000,)")), "needs 8000000000000 bytes"));
}

TEST_CASE("a file that cannot be read or written is named with the reason") {
  const TemporaryDirectory directory;
  const Tensor tensor({1}, {1.0F});
  const auto refused_at = [&](const std::filesystem::path& path) {
    return error_text(ErrorCode::io, [&] { write_npy(path, tensor); });
  };
  CHECK(error_text(ErrorCode::io, [&] { (void)read_npy(directory / "none.npy"); }) ==
        "[read_npy] cannot read '" + (directory / "none.npy").string() + "': No such file or directory");
  CHECK(contains(error_text(ErrorCode::io, [&] { (void)read_npy(directory.path()); }), "Is a directory"));
  CHECK(refused_at(directory / "no/such.npy") ==
        "[write_npy] cannot write '" + (directory / "no/such.npy").string() + "': No such file or directory");
  CHECK(contains(refused_at(directory.path()), "Is a directory"));
  CHECK(directory.entries() == 0);

  std::filesystem::create_directory(directory / "locked");
  std::filesystem::permissions(directory / "locked", std::filesystem::perms::owner_read);
  if (::geteuid() != 0) CHECK(contains(refused_at(directory / "locked/a.npy"), "Permission denied"));
  std::filesystem::permissions(directory / "locked", std::filesystem::perms::owner_all);
  CHECK(std::filesystem::is_empty(directory / "locked"));
}

TEST_CASE("when the disk is full, the old file stays whole and nothing else is left") {
  const TemporaryDirectory directory;
  const auto path = directory / "map.npy";
  const Tensor small({2}, {1.0F, 2.0F});
  write_npy(path, small);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{4096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const std::string text =
      error_text(ErrorCode::io, [&] { write_npy(path, Tensor(DType::float32, {100000})); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(text == "[write_npy] cannot write '" + path.string() + "': File too large");
  CHECK(identical(read_npy(path), small));
  CHECK(directory.entries() == 1);
}

TEST_CASE("writing through a symbolic link keeps the link, and a pipe or device is written to directly") {
  const TemporaryDirectory directory;
  write_npy(directory / "real.npy", Tensor({1}, {1.0F}));
  std::filesystem::create_symlink("real.npy", directory / "link.npy");
  write_npy(directory / "link.npy", Tensor({1}, {2.0F}));
  CHECK(std::filesystem::is_symlink(directory / "link.npy"));
  CHECK(read_npy(directory / "real.npy").at(0) == 2.0);
  write_npy("/dev/null", Tensor({1}, {2.0F}));
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

#ifdef RULEGRAD_HAVE_ZLIB

namespace {

std::string little(std::uint64_t value, int bytes) {
  std::string result;
  for (int i = 0; i < bytes; ++i) result += static_cast<char>(value >> (8 * i) & 0xFFU);
  return result;
}

/// The checksum of ZIP files, bit by bit.
std::uint32_t crc_of(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

/// Deflate's "stored" blocks: a compressed stream that needs no compressor.
std::string deflate_stored(std::string_view bytes) {
  return std::string(1, '\x01') + little(bytes.size(), 2) + little(bytes.size() ^ 0xFFFFU, 2) +
         std::string(bytes);
}

std::string zip(std::string_view name, std::string_view content, bool deflated) {
  const std::string packed = deflated ? deflate_stored(content) : std::string(content);
  const std::string common = little(0, 2) + little(deflated ? 8 : 0, 2) + little(0, 4) +
                             little(crc_of(content), 4) + little(packed.size(), 4) +
                             little(content.size(), 4) + little(name.size(), 2);
  const std::string local =
      "PK\x03\x04" + little(20, 2) + common + little(3, 2) + std::string(name) + "xyz" + packed;
  const std::string central = "PK\x01\x02" + little(20, 2) + little(20, 2) + common + little(0, 2) +
                              little(0, 2) + little(0, 8) + little(0, 4) + std::string(name);
  return local + central + "PK\x05\x06" + little(0, 4) + little(1, 2) + little(1, 2) +
         little(central.size(), 4) + little(local.size(), 4) + little(0, 2);
}

}  // namespace

TEST_CASE("an array of an .npz archive is found by name, stored or deflated") {
  const TemporaryDirectory directory;
  const std::string array = npy(dictionary("<f4", "(3,)"), little_endian<float>({1, 2, 3}));
  for (const bool deflated : {false, true}) {
    put_bytes(directory / "a.npz", zip("weights.npy", array, deflated));
    CHECK(elements<float>(read_npz(directory / "a.npz", "weights")) == std::vector<float>{1, 2, 3});
    CHECK(
        contains(error_text(ErrorCode::unknown_name, [&] { (void)read_npz(directory / "a.npz", "weigths"); }),
                 "unknown array 'weigths'; did you mean 'weights'?"));
  }
}

TEST_CASE("arrays written as .npz come back, and the same arrays give the same bytes") {
  const TemporaryDirectory directory;
  const std::vector<std::pair<std::string, Tensor>> arrays{
      {"a/pattern", Tensor({2, 2}, {1.0F, 2.0F, 3.0F, 4.0F})},
      {"b", Tensor({3}, {1.0, -2.5, 0.0})},
      {"empty", Tensor()}};
  write_npz(directory / "a.npz", arrays);
  write_npz(directory / "b.npz", arrays);
  const auto found = read_npz(directory / "a.npz");
  REQUIRE(found.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found[i].first == arrays[i].first);
    CHECK(identical(found[i].second, arrays[i].second));
  }
  CHECK(get_bytes(directory / "a.npz") == get_bytes(directory / "b.npz"));
  const std::vector<std::pair<std::string, Tensor>> twice{{"a", Tensor()}, {"a", Tensor()}};
  CHECK(contains(error_text(ErrorCode::invalid_argument, [&] { write_npz(directory / "c.npz", twice); }),
                 "'a'"));
  CHECK_FALSE(std::filesystem::exists(directory / "c.npz"));
}

TEST_CASE("a damaged .npz archive is refused wherever it is cut or changed") {
  const TemporaryDirectory directory;
  const std::string array = npy(dictionary("<f4", "(3,)"), little_endian<float>({1, 2, 3}));
  for (const bool deflated : {false, true}) {
    const std::string whole = zip("w.npy", array, deflated);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      put_bytes(directory / "a.npz", whole.substr(0, size));
      REQUIRE(
          contains(error_text(ErrorCode::io, [&] { (void)read_npz(directory / "a.npz", "w"); }), "a.npz"));
    }
    // No single changed byte may crash; one in the array's bytes must be noticed.
    const std::size_t data = whole.find("\x93NUMPY");
    for (std::size_t i = 0; i < whole.size(); ++i) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ 0x55);
      put_bytes(directory / "a.npz", changed);
      bool thrown = false;
      try {
        (void)read_npz(directory / "a.npz", "w");
      } catch (const Error&) {
        thrown = true;
      }
      if (i >= data && i < data + array.size()) REQUIRE(thrown);
    }
  }
}

#else

TEST_CASE("without zlib, .npz files are refused and the missing package is named") {
  CHECK(contains(error_text(ErrorCode::io, [] { (void)read_npz("a.npz", "w"); }), "zlib1g-dev"));
}

#endif

TEST_CASE("arrays that NumPy wrote are read") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Tensor images = read_npy(*data / "cifar10/images.npy");
  CHECK(images.dtype() == DType::uint8);
  CHECK(images.dims() == Dims{50, 3, 32, 32});
  const Tensor logits = read_npy(*data / "audio/speech_expected_logit.npy");
  CHECK(logits.size() == 96);
#ifdef RULEGRAD_HAVE_ZLIB
  CHECK(read_npz(*data / "fashion_mnist/images.npz", "pixels").dims() == Dims{200, 28, 28});
#endif
}
