#include "kernels/reduce/statistics.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

template <class T>
bool is_non_finite(T x) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Bits exponent = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  return (std::bit_cast<Bits>(x) & exponent) == exponent;
}

}  // namespace

template <class T>
void quantile(double q, std::int64_t samples, std::int64_t count, const T* x, T* y) {
  if (count == 0 && samples > 0) throw Error(ErrorCode::shape, "[quantile] a sample has no values");
  std::vector<T> sorted;
  for (std::int64_t s = 0; s < samples; ++s) {
    sorted.assign(x + s * count, x + (s + 1) * count);
    if (std::any_of(sorted.begin(), sorted.end(), [](T v) { return v != v; })) {
      y[s] = std::numeric_limits<T>::quiet_NaN();
      continue;
    }
    const double rank = q * static_cast<double>(count - 1), below = std::floor(rank);
    const auto low = sorted.begin() + static_cast<std::ptrdiff_t>(below);
    std::nth_element(sorted.begin(), low, sorted.end());
    const auto first = static_cast<double>(*low);
    // What follows the nth element is not smaller than it: the next rank is the smallest of that.
    const double second =
        low + 1 == sorted.end() ? first : static_cast<double>(*std::min_element(low + 1, sorted.end()));
    const double part = rank - below;
    y[s] = static_cast<T>(part == 0 ? first : first + part * (second - first));
  }
}

template <class T>
std::int64_t first_non_finite(std::span<const T> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  const T* const x = values.data();
  std::atomic<std::int64_t> found{count};
  constexpr std::int64_t block = 1024;
  parallel_chunks(count, 4 * grain_size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; b += block) {
      if (b >= found.load(std::memory_order_relaxed)) return;
      const std::int64_t stop = std::min(end, b + block);
      unsigned any = 0;
      vectorised([&] {
        unsigned hits = 0;
        for (std::int64_t i = b; i < stop; ++i) hits |= is_non_finite(x[i]) ? 1U : 0U;
        any = hits;
      });
      if (any == 0) continue;
      const std::int64_t at = std::find_if(x + b, x + stop, is_non_finite<T>) - x;
      std::int64_t known = found.load();
      while (at < known && !found.compare_exchange_weak(known, at)) {
      }
      return;
    }
  });
  const std::int64_t at = found.load();
  return at == count ? -1 : at;
}

template void quantile(double, std::int64_t, std::int64_t, const float*, float*);
template void quantile(double, std::int64_t, std::int64_t, const double*, double*);
template std::int64_t first_non_finite(std::span<const float>);
template std::int64_t first_non_finite(std::span<const double>);

}  // namespace rulegrad::kernels
