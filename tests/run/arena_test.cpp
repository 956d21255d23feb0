#include "compile/arena.hpp"

#include <doctest/doctest.h>
#include <random>
#include <thread>

using namespace rulegrad;

namespace {

/// The most bytes that live at once: no plan can do with less.
std::size_t peak(const std::vector<Lifetime>& intervals) {
  std::size_t best = 0;
  for (std::size_t time = 0; time < 100; ++time) {
    std::size_t live = 0;
    for (const Lifetime& i : intervals)
      if (i.first <= time && time <= i.last) live += aligned(i.bytes);
    best = std::max(best, live);
  }
  return best;
}

}  // namespace

TEST_CASE("values that live at the same time never overlap in the arena") {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> intervals(1 + random() % 40);
    std::size_t sum = 0;
    for (Lifetime& i : intervals) {
      i = {random() % 3 == 0 ? random() % 100000 : random() % 300, random() % 90, 0};
      i.last = i.first + random() % 10;
      sum += aligned(i.bytes);
    }
    const ArenaPlan plan = plan_arena(intervals);
    for (std::size_t a = 0; a < intervals.size(); ++a) {
      REQUIRE(plan.offsets[a] % 64 == 0);
      REQUIRE(plan.offsets[a] + intervals[a].bytes <= plan.bytes);
      for (std::size_t b = 0; b < a; ++b) {
        const bool together =
            intervals[a].first <= intervals[b].last && intervals[b].first <= intervals[a].last;
        const bool apart = plan.offsets[a] + intervals[a].bytes <= plan.offsets[b] ||
                           plan.offsets[b] + intervals[b].bytes <= plan.offsets[a];
        REQUIRE((!together || apart || intervals[a].bytes == 0 || intervals[b].bytes == 0));
      }
    }
    CHECK(plan.bytes <= sum);
    CHECK(plan.bytes >= peak(intervals));
    CHECK(static_cast<double>(plan.bytes) <= 1.5 * static_cast<double>(peak(intervals)));
  }
}

TEST_CASE(
    "a hundred thousand values are planned in the order of time, without overlap and with little waste") {
  std::mt19937 random(2);
  std::vector<Lifetime> intervals(100'000);
  for (std::size_t i = 0; i < intervals.size(); ++i)
    intervals[i] = {1 + random() % 5000, i, i + random() % 12};
  const ArenaPlan plan = plan_arena(intervals);
  std::size_t most = 0;
  for (std::size_t a = 0; a < intervals.size(); ++a) {
    REQUIRE(plan.offsets[a] % 64 == 0);
    REQUIRE(plan.offsets[a] + intervals[a].bytes <= plan.bytes);
    std::size_t live = aligned(intervals[a].bytes);
    for (std::size_t b = a - std::min<std::size_t>(a, 12); b < a; ++b) {
      if (intervals[b].last < intervals[a].first) continue;
      live += aligned(intervals[b].bytes);
      REQUIRE((plan.offsets[a] + intervals[a].bytes <= plan.offsets[b] ||
               plan.offsets[b] + intervals[b].bytes <= plan.offsets[a]));
    }
    most = std::max(most, live);
  }
  CHECK(plan.bytes <= 2 * most);
}

TEST_CASE("a chain needs the arena of its two largest neighbours") {
  const std::vector<Lifetime> chain{{1000, 0, 1}, {2000, 1, 2}, {64, 2, 3}, {1500, 3, 4}, {0, 4, 5}};
  CHECK(plan_arena(chain).bytes == aligned(1000) + aligned(2000));
}

TEST_CASE("arenas of finished runs are used again, those of running ones are not") {
  ArenaPool pool;
  const std::byte* first = nullptr;
  {
    const auto a = pool.take(1000);
    const auto b = pool.take(1000);
    CHECK(a.data() != b.data());
    first = b.data();
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  }
  const auto c = pool.take(1000);
  const auto d = pool.take(900);
  CHECK((c.data() == first || d.data() == first));
}
