#include "compile/arena.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace rulegrad {
namespace {

constexpr std::size_t idle_blocks = 8;

/// From so many lifetimes on, looking at every pair takes longer than the few percent of memory are worth.
constexpr std::size_t many = 4096;

/// Memory between others, by offset and by size.
class Gaps {
 public:
  /// The smallest one that holds so many bytes, or the end of all memory.
  std::size_t take(std::size_t wanted) {
    const auto fit = by_size_.lower_bound({wanted, 0});
    if (fit == by_size_.end()) {
      // What is free at the very end grows.
      const auto last = by_offset_.empty() ? by_offset_.end() : std::prev(by_offset_.end());
      std::size_t offset = end_;
      if (last != by_offset_.end() && last->first + last->second == end_) {
        offset = last->first;
        forget(last);
      }
      end_ = offset + wanted;
      return offset;
    }
    const auto [size, offset] = *fit;
    forget(by_offset_.find(offset));
    if (size > wanted) note(offset + wanted, size - wanted);
    return offset;
  }

  void give_back(std::size_t offset, std::size_t size) {
    const auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.end() && after->first == offset + size) {
      size += after->second;
      forget(after);
    }
    const auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin())
      if (const auto before = std::prev(next); before->first + before->second == offset) {
        offset = before->first;
        size += before->second;
        forget(before);
      }
    note(offset, size);
  }

  [[nodiscard]] std::size_t end() const { return end_; }

 private:
  using ByOffset = std::map<std::size_t, std::size_t>;
  void note(std::size_t offset, std::size_t size) {
    by_offset_.emplace(offset, size);
    by_size_.emplace(size, offset);
  }
  void forget(ByOffset::iterator gap) {
    by_size_.erase({gap->second, gap->first});
    by_offset_.erase(gap);
  }

  ByOffset by_offset_;
  std::set<std::pair<std::size_t, std::size_t>> by_size_;
  std::size_t end_ = 0;
};

/// In the order of time, as an allocator would: linear but for a logarithm.
ArenaPlan plan_in_time(std::span<const Lifetime> lifetimes) {
  ArenaPlan plan;
  plan.offsets.assign(lifetimes.size(), 0);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < lifetimes.size(); ++i)
    if (lifetimes[i].bytes > 0) order.push_back(i);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return lifetimes[i].first; });
  using End = std::pair<std::size_t, std::size_t>;  // when, which
  std::priority_queue<End, std::vector<End>, std::greater<>> ends;
  Gaps gaps;
  for (const std::size_t i : order) {
    for (; !ends.empty() && ends.top().first < lifetimes[i].first; ends.pop())
      gaps.give_back(plan.offsets[ends.top().second], aligned(lifetimes[ends.top().second].bytes));
    plan.offsets[i] = gaps.take(aligned(lifetimes[i].bytes));
    ends.emplace(lifetimes[i].last, i);
  }
  plan.bytes = gaps.end();
  return plan;
}

}  // namespace

ArenaPlan plan_arena(std::span<const Lifetime> lifetimes) {
  if (lifetimes.size() > many) return plan_in_time(lifetimes);
  ArenaPlan plan;
  plan.offsets.assign(lifetimes.size(), 0);
  std::vector<std::size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  std::vector<std::size_t> placed;  // by ascending offset
  for (const std::size_t i : order) {
    const std::size_t wanted = aligned(lifetimes[i].bytes);
    if (wanted == 0) continue;
    std::size_t end = 0, best = 0, best_room = 0;
    bool found = false;
    for (const std::size_t other : placed) {
      if (lifetimes[other].last < lifetimes[i].first || lifetimes[i].last < lifetimes[other].first) continue;
      const std::size_t begin = plan.offsets[other];
      if (begin > end && begin - end >= wanted && (!found || begin - end < best_room)) {
        found = true;
        best = end;
        best_room = begin - end;
      }
      end = std::max(end, begin + aligned(lifetimes[other].bytes));
    }
    plan.offsets[i] = found ? best : end;
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + wanted);
    const auto after =
        std::upper_bound(placed.begin(), placed.end(), plan.offsets[i],
                         [&](std::size_t offset, std::size_t p) { return offset < plan.offsets[p]; });
    placed.insert(after, i);
  }
  return plan;
}

ArenaPool::Lease ArenaPool::take(std::size_t bytes) {
  Block block;
  {
    const std::lock_guard lock(mutex_);
    auto fit = idle_.end();
    for (auto it = idle_.begin(); it != idle_.end(); ++it)
      if (it->bytes >= bytes && (fit == idle_.end() || it->bytes < fit->bytes)) fit = it;
    // One that is too small would only stay behind: it makes room for the one that comes.
    if (fit == idle_.end() && !idle_.empty()) fit = idle_.end() - 1;
    if (fit != idle_.end()) {
      block = std::move(*fit);
      idle_.erase(fit);
    }
  }
  if (block.bytes < bytes) {
    block.memory.reset();
    block.memory.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{arena_alignment})));
    block.bytes = bytes;
  }
  return {*this, std::move(block)};
}

void ArenaPool::give_back(Block block) {
  if (block.bytes == 0) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_blocks) idle_.push_back(std::move(block));
}

}  // namespace rulegrad
