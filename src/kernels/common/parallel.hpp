#pragma once

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <algorithm>
#include <cstdint>

namespace rulegrad::kernels {

/// Elements of cheap work below which a second thread does not pay.
inline constexpr std::int64_t grain_size = 16384;

/// Chunks up to which threads get theirs beforehand: what a thread wrote or read before then lies in its
/// cache, and none waits for a counter. With more of them, threads that were delayed leave theirs to the
/// others.
inline constexpr std::int64_t few_chunks = 32;

/// The threads that a loop started here would run on.
[[nodiscard]] inline int thread_count() {
#if defined(_OPENMP)
  return omp_in_parallel() != 0 ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Calls body(begin, end) for consecutive chunks of [0, count) of `grain` elements, on omp_get_max_threads()
/// threads. The chunks depend on `count` and `grain` alone, never on the number of threads. `body` must not
/// throw.
template <class Body>
void parallel_chunks(std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  const std::int64_t chunks = (count + grain - 1) / grain;
  if (chunks == 1) {
    body(std::int64_t{0}, count);
    return;
  }
  const auto chunk = [&](std::int64_t c) { body(c * grain, std::min(count, (c + 1) * grain)); };
  if (chunks <= few_chunks) {
#pragma omp parallel for schedule(static)
    for (std::int64_t c = 0; c < chunks; ++c) chunk(c);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t c = 0; c < chunks; ++c) chunk(c);
}

/// Calls body(i) for each i of [0, count), each of which costs about `cost` elements of cheap work.
template <class Body>
void parallel_each(std::int64_t count, std::int64_t cost, Body&& body) {
  const std::int64_t grain =
      std::clamp<std::int64_t>(grain_size / std::max<std::int64_t>(cost, 1), 1, grain_size);
  parallel_chunks(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace rulegrad::kernels
