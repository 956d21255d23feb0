#include "compile/memory_limit.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

std::atomic<std::size_t> chosen{0};

std::size_t limit_of_machine() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  std::size_t bytes = pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size)
                                            : std::size_t{1} << 40;
  // Containers may use less; the file says `max` where they may not.
  std::size_t allowed = 0;
  std::string word;
  if (std::ifstream file("/sys/fs/cgroup/memory.max");
      file >> word && std::from_chars(word.data(), word.data() + word.size(), allowed).ec == std::errc() &&
      allowed > 0)
    bytes = std::min(bytes, allowed);
  return bytes / 4 * 3;
}

std::string megabytes(std::size_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

std::size_t memory_limit() {
  static const std::size_t machine = limit_of_machine();
  const std::size_t set = chosen.load();
  return set == 0 ? machine : set;
}

void set_memory_limit(std::size_t bytes) {
  chosen = bytes;
}

void MemoryBudget::add(std::size_t bytes, const std::string& label) {
  if (bytes > largest_) {
    largest_ = bytes;
    label_ = label;
  }
  if (bytes > memory_limit())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} would take {}, and a program may use {} (set_memory_limit, on the command "
                            "line --max-memory); take fewer samples at once, or a smaller input",
                            label, megabytes(bytes), megabytes(memory_limit())));
}

void MemoryBudget::require(std::size_t together) const {
  if (together > memory_limit())
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "this would take {} at once, and a program may use {} (set_memory_limit, on the command line "
            "--max-memory); the largest value, {}, takes {}; take fewer samples at once, or a smaller input",
            megabytes(together), megabytes(memory_limit()), label_, megabytes(largest_)));
}

}  // namespace rulegrad
