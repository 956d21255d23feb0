#include "runtime/arena.hpp"

#include <algorithm>
#include <numeric>

namespace rulegrad {
namespace {

constexpr std::size_t idle_blocks = 8;

}  // namespace

ArenaPlan plan_arena(std::span<const Lifetime> lifetimes) {
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
