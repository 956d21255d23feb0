#include "support/read_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string_view operation, const fs::path& path, const std::string& why) {
  throw Error(ErrorCode::io,
              fmt::format("{}cannot read '{}': {}", operation.empty() ? "" : fmt::format("[{}] ", operation),
                          path.string(), why));
}

std::string reason(int error) {
  return std::generic_category().message(error);
}

template <class Bytes>
Bytes read_all(const fs::path& path, std::string_view operation) {
  const Descriptor file = open_regular_file(path, operation);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail(operation, path, reason(errno));
  Bytes bytes;
  // One byte more than the size, so that the end is seen without growing.
  bytes.resize(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);
  std::size_t filled = 0;
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(operation, path, reason(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled == bytes.size()) bytes.resize(2 * filled);
  }
  bytes.resize(filled);
  return bytes;
}

bool is_below(const fs::path& folder, const fs::path& path) {
  const fs::path rest = path.lexically_relative(folder);
  return !rest.empty() && *rest.begin() != "..";
}

}  // namespace

int Descriptor::close() {
  return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1));
}

Descriptor open_regular_file(const fs::path& path, std::string_view operation) {
  // Opening a pipe would wait for somebody who writes to it.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) fail(operation, path, reason(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail(operation, path, reason(errno));
  if (S_ISDIR(status.st_mode)) fail(operation, path, reason(EISDIR));
  if (!S_ISREG(status.st_mode))
    fail(operation, path, "it is a pipe or a device; only regular files are read");
  return file;
}

std::vector<std::byte> read_regular_file(const fs::path& path, std::string_view operation) {
  return read_all<std::vector<std::byte>>(path, operation);
}

std::string read_text_file(const fs::path& path, std::string_view operation) {
  return read_all<std::string>(path, operation);
}

fs::path path_inside(const fs::path& folder, const fs::path& relative, const std::string& what) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorCode::io, fmt::format("{} '{}'{}", what, relative.string(), why));
  };
  if (relative.empty() || relative.is_absolute()) refuse(", which is no path relative to its own folder");
  for (const fs::path& part : relative)
    if (part == "..") refuse(", which leads out of its own folder; put the file there or below");
  std::error_code missing;
  const fs::path base = fs::weakly_canonical(folder.empty() ? fs::path(".") : folder, missing);
  const fs::path target = fs::weakly_canonical(base / relative, missing);
  if (missing || !is_below(base, target))
    refuse(", a link that leads out of its own folder; put the file there or below");
  return target;
}

}  // namespace rulegrad
