#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace rulegrad::io {

/// A file's bytes, mapped read-only for as long as somebody holds it.
class MappedFile {
 public:
  /// Error(io) with path and reason if it cannot be opened or mapped.
  [[nodiscard]] static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace rulegrad::io
