#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Files that are read whole. Only regular files are: a pipe would wait for ever, a device has no end.
namespace rulegrad {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  /// 0, or what close(2) gives: some file systems report a full disk only here.
  int close();

 private:
  int fd_;
};

/// Opens a regular file for reading. Throws Error(io), `cannot read 'x': ...`, for what cannot be opened and
/// for directories, pipes and devices; `operation`, unless empty, stands in front in brackets.
[[nodiscard]] Descriptor open_regular_file(const std::filesystem::path& path,
                                           std::string_view operation = {});
/// Its bytes. Throws likewise.
[[nodiscard]] std::vector<std::byte> read_regular_file(const std::filesystem::path& path,
                                                       std::string_view operation = {});
/// The same as text.
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, std::string_view operation = {});

/// Where a file is that `folder` may refer to by `relative`: below the folder, or below the place that the
/// folder is a link to. Throws Error(io) that says `what` refers to it for absolute paths, `..` and links
/// that lead out.
[[nodiscard]] std::filesystem::path path_inside(const std::filesystem::path& folder,
                                                const std::filesystem::path& relative,
                                                const std::string& what);

}  // namespace rulegrad
