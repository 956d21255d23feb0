#pragma once

namespace rulegrad {

/// The number of OpenMP threads of the calling thread, as long as this lives; 0 leaves it as it is. In a
/// child of fork(), whose caller has lost its threads, it stays 1.
class ThreadCount {
 public:
  explicit ThreadCount(int threads);
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
  ~ThreadCount();

 private:
  int before_;
};

/// Throws Error(invalid_argument) for a number of threads that no run may use.
void require_threads(int threads);

}  // namespace rulegrad
