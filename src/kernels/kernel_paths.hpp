#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rulegrad {

/// One of the ways in which kernels compute what they compute: `matmul: tiles`, `conv: packed by oneDNN`.
/// Kernels that choose among several hold one for each as a constant of their file and say which they took,
/// so that tests know what has been run (tests/differential). Counting costs an addition a call.
class KernelPath {
 public:
  /// Names last; each stands for one path.
  explicit KernelPath(std::string_view name);
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  void taken() const { count_.fetch_add(1, std::memory_order_relaxed); }

  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::string_view name_;
  mutable std::atomic<std::uint64_t> count_ = 0;
};

/// All there are, by name.
[[nodiscard]] std::vector<const KernelPath*> kernel_paths();

}  // namespace rulegrad
