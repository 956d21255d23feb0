#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <vector>

namespace rulegrad {

inline constexpr std::size_t arena_alignment = 64;

[[nodiscard]] constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + arena_alignment - 1) / arena_alignment * arena_alignment;
}

/// Bytes that are wanted from instruction `first` to `last`, both included.
struct Lifetime {
  std::size_t bytes, first, last;
};

struct ArenaPlan {
  std::vector<std::size_t> offsets;  ///< by interval, multiples of 64
  std::size_t bytes = 0;
};

/// Offsets such that no two that live at the same time overlap: largest first, each into the
/// smallest gap that holds it. Of more than some thousand, in the order of time.
[[nodiscard]] ArenaPlan plan_arena(std::span<const Lifetime> lifetimes);

/// Working memory of runs, kept from one to the next: at most eight blocks.
class ArenaPool {
 public:
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete (memory, std::align_val_t{arena_alignment});
    }
  };
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t bytes = 0;
  };
  /// A block that goes back when the lease ends.
  class Lease {
   public:
    Lease(ArenaPool& pool, Block block) : pool_(pool), block_(std::move(block)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.give_back(std::move(block_)); }
    [[nodiscard]] std::byte* data() const { return block_.memory.get(); }

   private:
    ArenaPool& pool_;
    Block block_;
  };

  [[nodiscard]] Lease take(std::size_t bytes);

 private:
  void give_back(Block block);

  std::mutex mutex_;
  std::vector<Block> idle_;
};

}  // namespace rulegrad
