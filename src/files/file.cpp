#include "files/file.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <random>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"

#include "support/read_file.hpp"

namespace rulegrad::io {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) {
  return std::generic_category().message(error);
}

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

/// Where a chain of links ends, also when there is nothing yet.
fs::path end_of_links(fs::path path, std::string_view operation) {
  const fs::path asked = path;
  std::error_code ignored;
  for (int links = 0; fs::is_symlink(fs::symlink_status(path, ignored)); ++links) {
    if (links == 40) fail(operation, asked, "write", ELOOP);
    const fs::path next = fs::read_symlink(path, ignored);
    path = next.is_absolute() ? next : path.parent_path() / next;
  }
  return path;
}

std::string random_name() {
  static std::random_device source;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return fmt::format(".rulegrad-{:08x}{:08x}.tmp", source(), source());
}

/// A new file in a folder, without a name until it is complete where the file system can do that: then a
/// process that is killed leaves nothing behind.
class Draft {
 public:
  Draft(const fs::path& folder, mode_t mode)
      : folder_(folder.empty() ? "." : folder),
        file_(::open(folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode)) {
    if (file_.valid()) return;
    for (int tries = 0; tries < 100 && !file_.valid(); ++tries) {
      name_ = folder_ / random_name();
      file_ = Descriptor(::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
      if (!file_.valid() && errno != EEXIST) break;
    }
    error_ = file_.valid() ? 0 : errno;
    if (error_ != 0) name_.clear();
  }
  ~Draft() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] Descriptor& file() { return file_; }

  /// Takes the name `target`, whatever had it. 0 or an errno.
  int publish(const fs::path& target) {
    // Between the two calls the file has a name that nobody knows: signals wait until it has the right one.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = take_name(target);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return error;
  }

 private:
  int take_name(const fs::path& target) {
    for (int tries = 0; name_.empty() && tries < 100; ++tries) {
      const fs::path name = folder_ / random_name();
      const std::string descriptor = fmt::format("/proc/self/fd/{}", file_.get());
      if (::linkat(AT_FDCWD, descriptor.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
        name_ = name;
      else if (errno != EEXIST)
        return errno;
    }
    if (::rename(name_.c_str(), target.c_str()) != 0) return errno;
    name_.clear();
    return file_.close() == 0 ? 0 : errno;
  }

  fs::path folder_, name_;
  Descriptor file_;
  int error_ = 0;
};

}  // namespace

void write_atomically(const fs::path& path, std::initializer_list<std::span<const std::byte>> parts,
                      std::string_view operation) {
  const fs::path target = end_of_links(path, operation);
  struct stat known {};
  const bool exists = ::stat(target.c_str(), &known) == 0;
  if (exists && S_ISDIR(known.st_mode)) fail(operation, path, "write", EISDIR);
  if (exists && !S_ISREG(known.st_mode)) {
    Descriptor device(::open(target.c_str(), O_WRONLY | O_CLOEXEC));
    if (!device.valid()) fail(operation, path, "write", errno);
    if (const int error = write_parts(device, parts); error != 0) fail(operation, path, "write", error);
    return;
  }
  // Replacing a file asks for leave to write the folder alone; that of the file itself counts all the same.
  if (exists && ((known.st_mode & 0222) == 0 || ::access(target.c_str(), W_OK) != 0))
    fail(operation, path, "write", EACCES);

  Draft draft(target.parent_path(), exists ? known.st_mode & 07777 : 0666);
  if (draft.error() != 0) fail(operation, path, "write", draft.error());
  int error = 0;
  for (const auto part : parts)
    if (error == 0) error = write_all(draft.file().get(), part);
  if (error == 0 && exists && ::fchmod(draft.file().get(), known.st_mode & 07777) != 0) error = errno;
  // The name must not reach the disk before what it stands for.
  if (error == 0 && ::fdatasync(draft.file().get()) != 0 && errno != EINVAL) error = errno;
  if (error == 0) error = draft.publish(target);
  if (error != 0) fail(operation, path, "write", error);
}

std::string read_text(const std::string& path) {
  return read_text_file(path);
}

void write_text(const std::string& path, std::string_view text) {
  write_atomically(path, {std::as_bytes(std::span(text))}, "write");
}

}  // namespace rulegrad::io
