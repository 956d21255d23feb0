#include "run/thread_count.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>

#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

/// OpenMP ends the process where the system has no room for more.
constexpr int most_threads = 1024;

/// The thread that called fork() takes its OpenMP threads along into the child by name only: libgomp would
/// wait there for ever for those that it remembers. Threads that the child makes are not concerned.
thread_local bool forked = false;
[[maybe_unused]] const int told_of_forks = ::pthread_atfork(nullptr, nullptr, [] {
  forked = true;
  omp_set_num_threads(1);
});

}  // namespace

ThreadCount::ThreadCount(int threads) : before_(omp_get_max_threads()) {
  if (threads > 0 && !forked) omp_set_num_threads(threads);
}

ThreadCount::~ThreadCount() {
  omp_set_num_threads(before_);
}

void require_threads(int threads) {
  if (threads < 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[program] {} threads were asked for; 0 means as many as OpenMP gives", threads));
  if (threads > most_threads)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[program] {} threads are asked for, and a run may use {}", threads, most_threads));
}

}  // namespace rulegrad
