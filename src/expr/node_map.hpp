#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// Values beside nodes of one graph. A walk asks for them at every operand: one open table keyed by the
/// nodes' numbers costs a cache line where a map of nodes costs three, and its size follows what it holds,
/// not the graph.
template <class T>
class NodeMap {
 public:
  using Entry = std::pair<Expr, T>;

  NodeMap() = default;
  explicit NodeMap(std::size_t expected) { reserve(expected); }

  void reserve(std::size_t expected) {
    entries_.reserve(expected);
    if (expected * 2 > slots_.size()) rehash(std::bit_ceil(expected * 2));
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] bool contains(Expr key) const { return index_of(key) != none; }
  [[nodiscard]] auto find(Expr key) const {
    const std::uint32_t index = index_of(key);
    return index == none ? entries_.end() : entries_.begin() + index;
  }
  [[nodiscard]] auto find(Expr key) {
    const std::uint32_t index = index_of(key);
    return index == none ? entries_.end() : entries_.begin() + index;
  }
  /// Of a key that is there.
  [[nodiscard]] const T& at(Expr key) const { return entries_[index_of(key)].second; }

  /// The entry that is there, or a new one with `value`; and whether it is new. Iterators last until the next
  /// insertion.
  auto emplace(Expr key, T value) {
    if (entries_.size() * 2 >= slots_.size()) rehash(std::max<std::size_t>(16, slots_.size() * 2));
    std::uint32_t& index = slots_[slot_of(key)];
    const bool fresh = index == none;
    if (fresh) {
      index = static_cast<std::uint32_t>(entries_.size());
      entries_.emplace_back(key, std::move(value));
    }
    return std::pair(entries_.begin() + index, fresh);
  }
  T& operator[](Expr key) { return emplace(key, T()).first->second; }

  /// In the order of insertion.
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }
  [[nodiscard]] auto end() { return entries_.end(); }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  [[nodiscard]] std::uint32_t index_of(Expr key) const {
    return slots_.empty() ? none : slots_[slot_of(key)];
  }
  /// Where the key stands, or the free slot where it would.
  [[nodiscard]] std::size_t slot_of(Expr key) const {
    const std::size_t mask = slots_.size() - 1;
    // Nodes that were made one after the other are asked for one after the other: eight of them share a cache
    // line.
    std::size_t slot = ((key->id >> 3) * 0x9e3779b97f4a7c15ULL >> 32 << 3 | (key->id & 7)) & mask;
    while (slots_[slot] != none && entries_[slots_[slot]].first != key) slot = (slot + 1) & mask;
    return slot;
  }
  void rehash(std::size_t size) {
    slots_.assign(size, none);
    for (std::size_t i = 0; i < entries_.size(); ++i)
      slots_[slot_of(entries_[i].first)] = static_cast<std::uint32_t>(i);
  }

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;
};

}  // namespace rulegrad
