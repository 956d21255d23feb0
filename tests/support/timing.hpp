#pragma once

#include <ctime>
#include <sys/resource.h>

/// What things cost, in processor time: a machine that has other work to do does not make them dearer.
namespace rulegrad::testing {

/// Seconds that the calling thread has computed since this was made.
class ThreadTimer {
 public:
  [[nodiscard]] double seconds() const { return now() - start_; }

 private:
  static double now() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  double start_ = now();
};

/// Seconds that child processes which have ended since this was made had computed, in all their threads.
class ChildrenTimer {
 public:
  [[nodiscard]] double seconds() const { return now() - start_; }

 private:
  static double now() {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  }

  double start_ = now();
};

}  // namespace rulegrad::testing
