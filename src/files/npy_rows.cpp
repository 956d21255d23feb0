#include "rulegrad/files/npy_rows.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fmt/format.h>
#include <limits>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "files/npy_decode.hpp"
#include "files/npy_header.hpp"
#include "support/read_file.hpp"

namespace rulegrad::io {
namespace {

/// Headers are a few hundred bytes; where one is longer than this, nobody wrote it by NumPy.
constexpr std::size_t longest_header = std::size_t{1} << 20;

[[noreturn]] void fail(const std::string& path, std::string_view what) {
  throw Error(ErrorCode::io, fmt::format("[read_npy] '{}': {}", path, what));
}

void read_at(int fd, std::size_t offset, std::span<std::byte> to, const std::string& path) {
  while (!to.empty()) {
    const ssize_t got = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, std::generic_category().message(errno));
    if (got == 0) fail(path, "it was cut short while it was read");
    to = to.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::size_t>(got);
  }
}

/// Bytes of one element: the number at the end of `<f4`.
std::size_t element_bytes(const std::string& descr, const std::string& path) {
  std::size_t bytes = 0;
  const std::size_t digit = std::min(descr.find_first_of("0123456789"), descr.size());
  const auto [end, problem] = std::from_chars(descr.data() + digit, descr.data() + descr.size(), bytes);
  if (problem != std::errc() || end != descr.data() + descr.size() || bytes == 0 || bytes > 64)
    fail(path, fmt::format("the dtype '{}' is not one that rulegrad reads", descr));
  return bytes;
}

}  // namespace

struct NpyRows::File {
  std::string path;
  Descriptor descriptor;
  NpyHeader header;
  std::size_t begin = 0;      ///< of the elements
  std::size_t row_bytes = 0;  ///< of one entry of the first axis
  std::int64_t rows = 0;
};

NpyRows::NpyRows(const std::string& path) {
  auto file = std::make_shared<File>(File{path, open_regular_file(path, "read_npy"), {}, 0, 0, 0});
  struct stat status {};
  if (::fstat(file->descriptor.get(), &status) != 0) fail(path, std::generic_category().message(errno));
  const auto size = static_cast<std::size_t>(status.st_size);
  std::vector<std::byte> start(std::min(size, longest_header));
  read_at(file->descriptor.get(), 0, start, path);
  NpyStart found = npy_start({reinterpret_cast<const char*>(start.data()), start.size()}, path);
  file->header = std::move(found.header);
  file->begin = found.data_begins;
  const Dims& shape = file->header.shape;
  if (file->header.fortran_order && shape.size() > 1)
    fail(path,
         "the array lies in Fortran order, so that its rows are scattered over the file; save it with "
         "numpy.ascontiguousarray");
  std::size_t needed = element_bytes(file->header.descr, path);
  file->row_bytes = needed;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const auto extent = static_cast<std::size_t>(shape[axis]);
    if (extent > 0 && needed > std::numeric_limits<std::size_t>::max() / 16 / extent)
      fail(path, fmt::format("shape {} has more elements than can be stored", to_string(shape)));
    needed *= extent;
    if (axis > 0) file->row_bytes *= extent;
  }
  if (size - file->begin != needed)
    fail(path,
         fmt::format("shape {} of '{}' needs {} bytes of data but the file has {}{}", to_string(shape),
                     file->header.descr, needed, size - file->begin,
                     size - file->begin < needed ? ": it was cut off" : ": something follows the array"));
  file->rows = shape.empty() ? 0 : shape[0];
  file_ = std::move(file);
}

const Dims& NpyRows::dims() const {
  return file_->header.shape;
}

std::int64_t NpyRows::count() const {
  return file_->rows;
}

Tensor NpyRows::read(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count < 0 || first > file_->rows - count)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[read_npy] '{}' has {} rows; rows {} to {} are not there", file_->path,
                            file_->rows, first, first + count - 1));
  NpyHeader header{file_->header.descr, false, file_->header.shape};
  header.shape[0] = count;
  const std::string preamble = npy_preamble(header);
  auto bytes = std::make_shared<std::vector<std::byte>>(preamble.size() +
                                                        static_cast<std::size_t>(count) * file_->row_bytes);
  std::memcpy(bytes->data(), preamble.data(), preamble.size());
  read_at(file_->descriptor.get(), file_->begin + static_cast<std::size_t>(first) * file_->row_bytes,
          std::span(*bytes).subspan(preamble.size()), file_->path);
  return decode_npy(std::move(bytes), file_->path);
}

}  // namespace rulegrad::io
