#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/expr/random_engine.hpp"

/// What is fuzzed, seen from the programs that do it: libfuzzer.cpp under clang, and replay.cpp, an ordinary
/// program that draws inputs by itself.
namespace rulegrad::fuzz {

using Bytes = std::vector<std::uint8_t>;

/// How far an input got. A target whose inputs all end at the first gate tests the first gate only.
enum class Reached : std::uint8_t { refused, read, planned, ran, explained };
inline constexpr std::string_view reached_names[] = {"refused", "read", "planned", "ran", "explained"};

/// A target takes any bytes. It throws nothing: what is no answer and no Error for people ends the process.
struct Target {
  std::string_view name;
  Reached (*run)(std::span<const std::uint8_t> input);
  /// An input that means something.
  Bytes (*fresh)(RandomEngine& random);
  /// Changes what it means: a number, a name, a part for another.
  void (*mutate)(Bytes& input, RandomEngine& random);
};
/// Each program links one.
[[nodiscard]] const Target& target();

/// Says what is wrong and aborts, as a crash would.
[[noreturn]] void finding(const std::string& what);

/// Runs `step`: true if it came to its end, false if it threw an Error for people. Anything else thrown is a
/// finding, Error(internal) included.
bool answers(const std::function<void()>& step);

/// Numbers whose products and sums wrap, and those beside limits.
[[nodiscard]] std::int64_t extreme(RandomEngine& random);
/// Mostly small.
[[nodiscard]] std::int64_t any_number(RandomEngine& random);
[[nodiscard]] inline std::size_t below(RandomEngine& random, std::size_t count) {
  return count == 0 ? 0 : static_cast<std::size_t>(random() % count);
}
[[nodiscard]] inline bool one_in(RandomEngine& random, std::size_t count) {
  return below(random, count) == 0;
}
template <class List>
[[nodiscard]] const auto& pick(RandomEngine& random, const List& list) {
  return list[below(random, std::size(list))];
}

/// Bits that decide what a target does with an input beside reading it: the same for the same bytes.
[[nodiscard]] std::uint64_t digest(std::span<const std::uint8_t> input);

/// Deletes, doubles, moves and replaces bytes.
void mutate_bytes(Bytes& input, RandomEngine& random);
/// The same of words, numbers, brackets and lines of a text; `vocabulary` holds words that it may take.
void mutate_text(Bytes& input, RandomEngine& random, std::span<const std::string> vocabulary);

/// A file of this process, in memory where the system has such a folder.
class ScratchFile {
 public:
  explicit ScratchFile(std::string_view extension);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  void write(std::span<const std::uint8_t> bytes) const;
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Removes what a process left that did not come to its end.
  static void remove_those_of(int process);

 private:
  std::string path_;
};

}  // namespace rulegrad::fuzz
