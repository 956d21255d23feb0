#include "io/file.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "rulegrad/error.hpp"
#include "rulegrad/io/text_file.hpp"

namespace rulegrad::io {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) {
  return std::generic_category().message(error);
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  int close() { return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// 0 or the errno of the write that failed.
int write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

int write_parts(Descriptor& file, std::initializer_list<std::span<const std::byte>> parts) {
  for (const auto part : parts)
    if (const int error = write_all(file.get(), part); error != 0) return error;
  // Some file systems report a full disk only here.
  return file.close() == 0 ? 0 : errno;
}

[[noreturn]] void fail(std::string_view operation, const fs::path& path, std::string_view verb, int error) {
  throw Error(ErrorCode::io,
              fmt::format("[{}] cannot {} '{}': {}", operation, verb, path.string(), reason(error)));
}

}  // namespace

std::vector<std::byte> read_bytes(const fs::path& path, std::string_view operation) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) fail(operation, path, "open", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) fail(operation, path, "read", EISDIR);
  std::vector<std::byte> bytes;
  // One byte more than the size, so that the end is seen without growing.
  bytes.resize(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);
  std::size_t filled = 0;
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(operation, path, "read", errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled == bytes.size()) bytes.resize(2 * filled);
  }
  bytes.resize(filled);
  return bytes;
}

void write_atomically(const fs::path& path, std::initializer_list<std::span<const std::byte>> parts,
                      std::string_view operation) {
  std::error_code ignored;
  fs::path target = path;
  if (fs::is_symlink(path, ignored)) {
    target = fs::weakly_canonical(path, ignored);
    if (ignored) target = path;
  }
  const fs::file_status status = fs::status(target, ignored);
  if (fs::is_directory(status)) fail(operation, path, "write", EISDIR);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    Descriptor device(::open(target.c_str(), O_WRONLY | O_CLOEXEC));
    if (!device.valid()) fail(operation, path, "write", errno);
    if (const int error = write_parts(device, parts); error != 0) fail(operation, path, "write", error);
    return;
  }

  static std::atomic<unsigned> counter{0};
  const fs::path temporary =
      target.parent_path() / fmt::format(".rulegrad-{}-{}.tmp", ::getpid(), counter.fetch_add(1));
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.valid()) fail(operation, path, "write", errno);
  int error = write_parts(file, parts);
  if (error == 0 && ::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail(operation, path, "write", error);
  }
}

void write_text(const std::string& path, std::string_view text) { write_atomically(path, {std::as_bytes(std::span(text))}, "write"); }

}  // namespace rulegrad::io
