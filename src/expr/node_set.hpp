#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// Nodes of one graph, as bits over their numbers: 64 neighbours share a word. Its size follows what it holds, not the
/// graph, and a walk that meets nodes as they were made stays in one cache line.
class NodeSet {
 public:
  [[nodiscard]] bool contains(Expr node) const {
    return !words_.empty() && (words_[place_of(node->id >> 6)].bits >> (node->id & 63) & 1) != 0;
  }

  /// True if it was not there.
  bool insert(Expr node) {
    if (used_ * 2 >= words_.size()) grow();
    Word& word = words_[place_of(node->id >> 6)];
    if (word.bits == 0) {
      word.number = node->id >> 6;
      ++used_;
    }
    const std::uint64_t bit = std::uint64_t{1} << (node->id & 63), before = word.bits;
    word.bits |= bit;
    return word.bits != before;
  }

  [[nodiscard]] bool empty() const { return used_ == 0; }

 private:
  struct Word {
    std::uint64_t bits = 0;  ///< 0: the place is free
    std::uint32_t number = 0;
  };

  /// Where the word stands, or would.
  [[nodiscard]] std::size_t place_of(std::uint32_t number) const {
    const std::size_t mask = words_.size() - 1;
    std::size_t place = ((number >> 2) * 0x9e3779b97f4a7c15ULL >> 32 << 2 | (number & 3)) & mask;
    while (words_[place].bits != 0 && words_[place].number != number) place = (place + 1) & mask;
    return place;
  }
  void grow() {
    std::vector<Word> before(std::max<std::size_t>(16, words_.size() * 2));
    before.swap(words_);
    for (const Word& word : before)
      if (word.bits != 0) words_[place_of(word.number)] = word;
  }

  std::vector<Word> words_;
  std::size_t used_ = 0;
};

}  // namespace rulegrad
