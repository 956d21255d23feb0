#include "rulegrad/files/npy.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "files/file.hpp"
#include "files/half.hpp"
#include "files/npy_decode.hpp"
#include "files/npy_header.hpp"
#include "support/read_file.hpp"

namespace rulegrad::io {
namespace {

/// A binary16 as it lies in a file.
struct Half {
  std::uint16_t bits;
};

[[noreturn]] void fail(std::string_view where, std::string_view what) {
  throw Error(ErrorCode::io, fmt::format("[read_npy] '{}': {}", where, what));
}

template <class Stored>
Stored load(const std::byte* at, bool swap) {
  std::byte raw[sizeof(Stored)];
  std::memcpy(raw, at, sizeof(Stored));
  if (swap) std::reverse(std::begin(raw), std::end(raw));
  Stored value;
  std::memcpy(&value, raw, sizeof(Stored));
  return value;
}

/// Calls `f(k)` for each element in row-major order with its position k in a column-major file.
template <class F>
void for_each_fortran(const Dims& dims, std::int64_t count, F&& f) {
  std::vector<std::int64_t> stride(dims.size(), 1), index(dims.size(), 0);
  for (std::size_t axis = 1; axis < dims.size(); ++axis) stride[axis] = stride[axis - 1] * dims[axis - 1];
  std::int64_t position = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    f(position);
    for (std::size_t axis = dims.size(); axis-- > 0;) {
      position += stride[axis];
      if (++index[axis] < dims[axis]) break;
      position -= stride[axis] * dims[axis];
      index[axis] = 0;
    }
  }
}

/// What the header promises, and where it lies.
struct Contents {
  std::shared_ptr<const std::vector<std::byte>> file;
  std::size_t offset = 0;
  NpyHeader header;
  std::int64_t count = 0;
  bool swap = false;
  std::string_view where;

  [[nodiscard]] const std::byte* data() const { return file->data() + offset; }
};

template <class Stored, class Result>
Tensor take(const Contents& contents) {
  const std::int64_t available = static_cast<std::int64_t>(contents.file->size() - contents.offset);
  const std::int64_t needed = contents.count * static_cast<std::int64_t>(sizeof(Stored));
  if (available != needed)
    fail(contents.where,
         fmt::format("shape {} of '{}' needs {} bytes of data but the file has {}{}",
                     to_string(contents.header.shape), contents.header.descr, needed, available,
                     available < needed ? ": it was cut off" : ": something follows the array"));
  const bool aligned = reinterpret_cast<std::uintptr_t>(contents.data()) % alignof(Result) == 0;
  if constexpr (std::is_same_v<Stored, Result> && !std::is_same_v<Result, bool>)
    if (aligned && !contents.swap && !contents.header.fortran_order)
      return Tensor::borrow(dtype_of<Result>, contents.header.shape, contents.data(), contents.file);

  Tensor result = Tensor::uninitialized(dtype_of<Result>, contents.header.shape);
  Result* out = result.mutable_values<Result>().data();
  const auto convert = [&](std::int64_t position) {
    const std::byte* at = contents.data() + static_cast<std::size_t>(position) * sizeof(Stored);
    if constexpr (std::is_same_v<Stored, Half>)
      *out++ = half_to_float(load<Half>(at, contents.swap).bits);
    else if constexpr (std::is_same_v<Result, bool>)
      *out++ = *at != std::byte{0};
    else
      *out++ = static_cast<Result>(load<Stored>(at, contents.swap));
  };
  if (contents.header.fortran_order)
    for_each_fortran(contents.header.shape, contents.count, convert);
  else
    for (std::int64_t i = 0; i < contents.count; ++i) convert(i);
  return result;
}

Tensor take_typed(Contents& contents) {
  const std::string& descr = contents.header.descr;
  const char order = descr.empty() ? ' ' : descr[0];
  const std::string_view type = std::string_view(descr).substr(descr.empty() ? 0 : 1);
  const bool one_byte = type == "u1" || type == "i1" || type == "b1";
  const bool order_known = order == '<' || order == '>' || order == '=' || (order == '|' && one_byte);
  if (order_known) {
    constexpr char native = std::endian::native == std::endian::little ? '<' : '>';
    contents.swap = !one_byte && order != '=' && order != native;
    if (type == "f4") return take<float, float>(contents);
    if (type == "f8") return take<double, double>(contents);
    if (type == "f2") return take<Half, float>(contents);
    if (type == "i4") return take<std::int32_t, std::int32_t>(contents);
    if (type == "i8") return take<std::int64_t, std::int64_t>(contents);
    if (type == "u1") return take<std::uint8_t, std::uint8_t>(contents);
    if (type == "i1") return take<std::int8_t, std::int8_t>(contents);
    if (type == "b1") return take<bool, bool>(contents);
    if (type == "i2") return take<std::int16_t, std::int32_t>(contents);
    if (type == "u2") return take<std::uint16_t, std::int32_t>(contents);
    if (type == "u4") return take<std::uint32_t, std::int64_t>(contents);
  }
  fail(contents.where,
       fmt::format("the dtype '{}' is not one that rulegrad reads; expected f2, f4, f8, i1, i2, i4, "
                   "i8, u1, u2, u4 or b1 after '<', '>' or '|': convert it with .astype() first",
                   descr));
}

std::int64_t checked_count(const Dims& shape, std::string_view where) {
  std::int64_t count = 1, product = 1;
  for (const std::int64_t extent : shape) {
    if (extent > 0 && product > std::numeric_limits<std::int64_t>::max() / 16 / extent)
      fail(where, fmt::format("shape {} has more elements than can be stored", to_string(shape)));
    product *= std::max<std::int64_t>(extent, 1);
    count *= extent;
  }
  return count;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

NpyStart npy_start(std::string_view text, std::string_view where) {
  constexpr std::string_view magic = "\x93NUMPY";
  if (!text.starts_with(magic))
    fail(where, text.empty()
                    ? "the file is empty; expected an .npy file"
                    : fmt::format("the file begins with {:?} and not with the magic string of .npy files",
                                  text.substr(0, magic.size())));
  if (text.size() < 8) fail(where, "the file ends before the format version");
  const int major = static_cast<unsigned char>(text[6]);
  const int minor = static_cast<unsigned char>(text[7]);
  if (major < 1 || major > 3 || minor != 0)
    fail(where, fmt::format("format version {}.{}; expected 1.0, 2.0 or 3.0", major, minor));
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  if (text.size() < 8 + length_bytes) fail(where, "the file ends before the length of its header");
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(text[8 + i])) << (8 * i);
  const std::size_t begin = 8 + length_bytes;
  if (text.size() - begin < length)
    fail(where, fmt::format("the header is {} bytes long but only {} follow: the file was cut off", length,
                            text.size() - begin));

  std::string problem;
  auto header = parse_npy_header(text.substr(begin, length), problem);
  if (!header) fail(where, fmt::format("bad header: {}", problem));
  return {std::move(*header), begin + length};
}

Tensor decode_npy(std::shared_ptr<const std::vector<std::byte>> file, std::string_view where) {
  NpyStart start = npy_start(as_text(*file), where);
  Contents contents{std::move(file), start.data_begins, std::move(start.header), 0, false, where};
  contents.count = checked_count(contents.header.shape, where);
  return take_typed(contents);
}

Tensor read_npy(const std::string& path) {
  return decode_npy(std::make_shared<const std::vector<std::byte>>(read_regular_file(path, "read_npy")),
                    path);
}

std::string encode_npy_preamble(const Tensor& tensor) {
  return npy_preamble({descr_of(tensor.dtype()), false, tensor.dims()});
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const std::string preamble = encode_npy_preamble(tensor);
  write_atomically(path, {std::as_bytes(std::span(preamble)), {tensor.data(), tensor.bytes()}}, "write_npy");
}

}  // namespace rulegrad::io
