#include <fmt/format.h>

#ifdef RULEGRAD_HAVE_ZLIB
#include <zlib.h>
#endif

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "files/file.hpp"
#include "files/npy_decode.hpp"
#include "support/missing_feature.hpp"
#include "support/read_file.hpp"
#include "support/text.hpp"

namespace rulegrad::io {

#ifdef RULEGRAD_HAVE_ZLIB

namespace {

// By hand, because an .npz holds stored and deflated entries alone (zlib unpacks them), and every extent that an archive
// claims is held against its bytes before memory is asked for.

/// One row of the central directory of a ZIP file (APPNOTE.TXT, section 4.3.12).
struct Entry {
  std::string name;
  unsigned method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0;
  std::uint64_t unpacked = 0;
  std::uint64_t local_header = 0;
};

/// The archive's bytes, read with bounds: a damaged archive ends in Error(io), never outside the buffer.
class Archive {
 public:
  Archive(std::vector<std::byte> bytes, std::string where)
      : bytes_(std::move(bytes)), where_(std::move(where)) {}

  [[noreturn]] void fail(std::string_view what) const {
    throw Error(ErrorCode::io, fmt::format("[read_npz] '{}': {}", where_, what));
  }

  [[nodiscard]] std::vector<Entry> entries() const {
    const std::size_t end = end_record();
    const std::uint64_t count = number(end + 10, 2);
    std::uint64_t at = number(end + 16, 4);
    std::vector<Entry> result;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (number(at, 4) != 0x02014b50) fail("the directory of the archive is damaged");
      const std::uint64_t name = number(at + 28, 2), extra = number(at + 30, 2), comment = number(at + 32, 2);
      Entry entry;
      entry.method = static_cast<unsigned>(number(at + 10, 2));
      entry.crc = static_cast<std::uint32_t>(number(at + 16, 4));
      entry.packed = number(at + 20, 4);
      entry.unpacked = number(at + 24, 4);
      entry.local_header = number(at + 42, 4);
      const auto text = part(at + 46, name);
      entry.name.assign(reinterpret_cast<const char*>(text.data()), text.size());
      if (entry.packed == 0xFFFFFFFF || entry.unpacked == 0xFFFFFFFF || entry.local_header == 0xFFFFFFFF)
        fail(fmt::format("'{}' is larger than 4 GiB; save it as an .npy file of its own", entry.name));
      result.push_back(std::move(entry));
      at += 46 + name + extra + comment;
    }
    return result;
  }

  [[nodiscard]] std::vector<std::byte> unpack(const Entry& entry) const {
    const std::uint64_t at = entry.local_header;
    if (number(at, 4) != 0x04034b50)
      fail(fmt::format("the entry '{}' is not where the directory says", entry.name));
    const auto packed = part(at + 30 + number(at + 26, 2) + number(at + 28, 2), entry.packed);
    std::vector<std::byte> result;
    if (entry.method == 0)
      result.assign(packed.begin(), packed.end());
    else if (entry.method == 8)
      result = inflate(packed, entry);
    else
      fail(fmt::format("'{}' is compressed by method {}; expected 0 (stored) or 8 (deflated)", entry.name,
                       entry.method));
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(result.data()), result.size());
    if (result.size() != entry.unpacked || static_cast<std::uint32_t>(crc) != entry.crc)
      fail(fmt::format("the checksum of '{}' does not agree: the file is damaged", entry.name));
    return result;
  }

 private:
  [[nodiscard]] std::span<const std::byte> part(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at)
      fail("the archive ends early: it was cut off or is damaged");
    return std::span(bytes_).subspan(at, size);
  }
  [[nodiscard]] std::uint64_t number(std::uint64_t at, std::uint64_t size) const {
    std::uint64_t value = 0;
    const auto raw = part(at, size);
    for (std::size_t i = raw.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(raw[i]);
    return value;
  }
  /// Where the end-of-directory record begins; a comment of up to 65,535 bytes may follow it.
  [[nodiscard]] std::size_t end_record() const {
    constexpr std::size_t size = 22;
    for (std::size_t back = size; back <= std::min<std::size_t>(bytes_.size(), size + 0xFFFF); ++back)
      if (number(bytes_.size() - back, 4) == 0x06054b50) return bytes_.size() - back;
    fail("there is no ZIP directory at its end: it is not an .npz file, or was cut off");
  }
  [[nodiscard]] std::vector<std::byte> inflate(std::span<const std::byte> packed, const Entry& entry) const {
    // Deflate packs at most 1032 to 1, so that a lying directory cannot ask for much memory.
    if (entry.unpacked / 1032 > packed.size())
      fail(fmt::format("the size of '{}' cannot be right", entry.name));
    std::vector<std::byte> result(entry.unpacked + 1);
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) fail("zlib could not start");
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(result.data());
    stream.avail_out = static_cast<uInt>(result.size());
    const int status = ::inflate(&stream, Z_FINISH);
    result.resize(stream.total_out);
    inflateEnd(&stream);
    if (status != Z_STREAM_END) fail(fmt::format("the compressed data of '{}' are damaged", entry.name));
    return result;
  }

  std::vector<std::byte> bytes_;
  std::string where_;
};

}  // namespace

Tensor read_npz(const std::string& path, std::string_view name) {
  const Archive archive(read_regular_file(path, "read_npz"), path);
  const std::vector<Entry> entries = archive.entries();
  const auto found = std::ranges::find(entries, std::string(name) + ".npy", &Entry::name);
  if (found == entries.end()) {
    std::vector<std::string> names;
    for (const Entry& entry : entries)
      names.push_back(entry.name.ends_with(".npy") ? entry.name.substr(0, entry.name.size() - 4)
                                                   : entry.name);
    throw Error(ErrorCode::unknown_name,
                fmt::format("[read_npz] '{}': {}", path, unknown_name_message("array", name, names)));
  }
  return decode_npy(std::make_shared<const std::vector<std::byte>>(archive.unpack(*found)),
                    fmt::format("{}:{}", path, found->name));
}

std::vector<std::pair<std::string, Tensor>> read_npz(const std::string& path) {
  const Archive archive(read_regular_file(path, "read_npz"), path);
  std::vector<std::pair<std::string, Tensor>> arrays;
  for (const Entry& entry : archive.entries()) {
    if (!entry.name.ends_with(".npy"))
      archive.fail(fmt::format("'{}' is not the name of an array", entry.name));
    arrays.emplace_back(entry.name.substr(0, entry.name.size() - 4),
                        decode_npy(std::make_shared<const std::vector<std::byte>>(archive.unpack(entry)),
                                   fmt::format("{}:{}", path, entry.name)));
  }
  return arrays;
}

namespace {

/// Little-endian numbers and text, one after the other.
class Bytes {
 public:
  Bytes& number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      bytes_.push_back(i < 8 ? static_cast<std::byte>(value >> (8 * i) & 0xFF) : std::byte{0});
    return *this;
  }
  Bytes& raw(std::span<const std::byte> more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  Bytes& text(std::string_view more) { return raw(std::as_bytes(std::span(more))); }
  [[nodiscard]] std::span<const std::byte> all() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

void write_npz(const std::string& path, std::span<const std::pair<std::string, Tensor>> arrays) {
  // Version 2.0 of the format, no flags, method 0 (stored), and 1980-01-01 as the time of each file.
  constexpr std::uint64_t stored_in_1980 = std::uint64_t{(1U << 5) | 1U} << 48;
  Bytes files, directory;
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays) {
    if (std::ranges::find(names, name) != names.end())
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[write_npz] '{}': there are two arrays with the name '{}'", path, name));
    names.push_back(name);
    const std::string file = name + ".npy", preamble = encode_npy_preamble(array);
    const std::uint64_t size = preamble.size() + array.bytes(), offset = files.all().size();
    if (offset + size + file.size() > 0xFFFF0000 || file.size() > 0xFFFF || names.size() > 0xFFFF)
      throw Error(
          ErrorCode::io,
          fmt::format(
              "[write_npz] '{}': with '{}' the archive would exceed 4 GiB; write its arrays as .npy files",
              path, name));
    const auto* data = reinterpret_cast<const Bytef*>(array.data());
    const auto of_preamble = crc32_z(0, reinterpret_cast<const Bytef*>(preamble.data()), preamble.size());
    const std::uint64_t crc = array.bytes() == 0 ? of_preamble : crc32_z(of_preamble, data, array.bytes());
    const auto common = [&](Bytes& to) {
      to.number(20, 2)
          .number(stored_in_1980, 8)
          .number(crc, 4)
          .number(size, 4)
          .number(size, 4)
          .number(file.size(), 2)
          .number(0, 2);
    };
    files.number(0x04034b50, 4);
    common(files);
    files.text(file).text(preamble).raw({array.data(), array.bytes()});
    directory.number(0x02014b50, 4).number(20, 2);
    common(directory);
    directory.number(0, 10).number(offset, 4).text(file);
  }
  Bytes end;
  end.number(0x06054b50, 4).number(0, 4).number(names.size(), 2).number(names.size(), 2);
  end.number(directory.all().size(), 4).number(files.all().size(), 4).number(0, 2);
  write_atomically(path, {files.all(), directory.all(), end.all()}, "write_npz");
}

#else

void write_npz(const std::string& path, std::span<const std::pair<std::string, Tensor>>) {
  fail_missing_feature(fmt::format("write_npz '{}'", path), "npz");
}

std::vector<std::pair<std::string, Tensor>> read_npz(const std::string& path) {
  (void)read_npz(path, {});  // throws
  return {};
}

Tensor read_npz(const std::string& path, std::string_view) {
  fail_missing_feature(fmt::format("read_npz '{}'", path), "npz");
}

#endif

}  // namespace rulegrad::io
