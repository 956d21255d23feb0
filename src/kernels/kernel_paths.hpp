#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <string_view>
#include <vector>

namespace rulegrad {

/// One of the ways in which kernels compute what they compute: `matmul: tiles`, `conv: packed by oneDNN`.
/// Kernels that choose among several hold one for each as a constant of their file and say which they took,
/// so that tests know what has been run (tests/differential). Counting costs an addition a call.
///
/// A path may be closed, for tests and measurements (benchmarks/kernel_worth), before programs are compiled:
/// what chooses then goes another way that computes the same, at last the plain kernel of its operator.
class KernelPath {
 public:
  /// Ways that have no other one beside them are `only` counted.
  enum class Choice : std::uint8_t { free, only };

  /// Names last; each stands for one path.
  explicit KernelPath(std::string_view name, Choice choice = Choice::free);
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  [[nodiscard]] bool open() const { return open_.load(std::memory_order_relaxed); }
  /// Before anything is written. Throws ClosedPath where it is closed, which Kernels::portable() catches.
  void taken() const;

  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] bool may_close() const { return choice_ == Choice::free; }
  [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  friend class ClosedWhile;

  std::string_view name_;
  Choice choice_;
  mutable std::atomic<bool> open_ = true;
  mutable std::atomic<std::uint64_t> count_ = 0;
};

/// All there are, by name.
[[nodiscard]] std::vector<const KernelPath*> kernel_paths();

/// A closed path was to be taken.
struct ClosedPath : std::exception {
  [[nodiscard]] const char* what() const noexcept override { return "a kernel path is closed"; }
};

inline void KernelPath::taken() const {
  if (!open()) throw ClosedPath();
  count_.fetch_add(1, std::memory_order_relaxed);
}

/// Keeps a path closed while it lives.
class ClosedWhile {
 public:
  explicit ClosedWhile(const KernelPath& path) : path_(path) { path_.open_ = false; }
  ~ClosedWhile() { path_.open_ = true; }
  ClosedWhile(const ClosedWhile&) = delete;
  ClosedWhile& operator=(const ClosedWhile&) = delete;

 private:
  const KernelPath& path_;
};

}  // namespace rulegrad
