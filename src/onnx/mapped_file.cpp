#include "onnx/mapped_file.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

#include "rulegrad/support/error.hpp"

#include "support/mappings.hpp"
#include "support/read_file.hpp"

namespace rulegrad::io {
namespace {

[[noreturn]] void fail_to_map(const std::filesystem::path& path, int error) {
  throw Error(ErrorCode::io,
              fmt::format("cannot read '{}': {}", path.string(), std::generic_category().message(error)));
}

}  // namespace

// By hand: Boost.Interprocess opens a path once more, and what is mapped must be the descriptor that was
// found to be a regular file.
std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file = open_regular_file(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_to_map(path, errno);
  std::span<const std::byte> bytes;
  if (status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (memory == MAP_FAILED) fail_to_map(path, errno);
    bytes = {static_cast<const std::byte*>(memory), size};
  }
  if (!bytes.empty()) mappings::add(bytes, path);
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes));
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  mappings::remove(bytes_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace rulegrad::io
