#pragma once

#include <omp.h>

/// Sets the number of OpenMP threads while it lives.
struct Threads {
  explicit Threads(int count) : before(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  int before;
};

/// True if `make()` returns the same value on 1, 2 and 4 threads.
template <class Make>
bool same_on_any_threads(Make&& make) {
  const auto on = [&](int count) {
    const Threads scope(count);
    return make();
  };
  const auto one = on(1);
  return one == on(2) && one == on(4);
}
