#include "fuzz/values.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

namespace rulegrad::fuzz {

double any_real(RandomEngine& random) {
  static constexpr std::array special{0.0,
                                      -0.0,
                                      1e-45,
                                      1e-310,
                                      1e38,
                                      1e300,
                                      std::numeric_limits<double>::infinity(),
                                      -std::numeric_limits<double>::infinity(),
                                      std::numeric_limits<double>::quiet_NaN()};
  if (one_in(random, 20)) return special[below(random, special.size())];
  return static_cast<double>(static_cast<int>(below(random, 33)) - 16) / 8;
}

std::optional<Tensor> small_values(const Type& type, std::int64_t batch, std::uint64_t seed) {
  const Dims dims = type.shape.at({.batch = batch, .samples = 2});
  double count = 1;
  for (const std::int64_t extent : dims) count *= static_cast<double>(extent);
  if (count > 1 << 20) return std::nullopt;
  Tensor result(type.dtype, dims);
  dispatch(type.dtype, [&]<class T>(T) {
    std::uint64_t state = seed | 1;
    for (T& value : result.mutable_values<T>()) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const auto number = static_cast<int>(state >> 33 & 15) - 6;
      if constexpr (std::is_floating_point_v<T>)
        value = static_cast<T>(number) / 4;
      else if constexpr (std::is_same_v<T, bool>)
        value = number > 0;
      else
        value = static_cast<T>(number < 0 ? 0 : number);
    }
  });
  return result;
}

namespace {

/// One thread that ends what takes long. Made when it is first asked for: it would not outlive a fork.
class Timer {
 public:
  Timer() : thread_([this](const std::stop_token& end) { watch(end); }) {}

  std::stop_token next() {
    const std::lock_guard lock(mutex_);
    source_ = std::stop_source();
    deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    changed_.notify_one();
    return source_.get_token();
  }

 private:
  void watch(const std::stop_token& end) {
    std::unique_lock lock(mutex_);
    while (!end.stop_requested()) {
      if (changed_.wait_until(lock, deadline_) == std::cv_status::timeout &&
          std::chrono::steady_clock::now() >= deadline_) {
        source_.request_stop();
        deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::stop_source source_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + std::chrono::hours(1);
  std::jthread thread_;
};

}  // namespace

std::stop_token soon() {
  // It runs until the process ends, whatever is destroyed before.
  static Timer& timer = *new Timer;
  return timer.next();
}

}  // namespace rulegrad::fuzz
