#include "kernels/move/gathering.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/common/parallel.hpp"
#include "kernels/common/words.hpp"
#include "kernels/move/indices.hpp"

namespace rulegrad::kernels {

void gather_rows(std::size_t element_bytes, RowsAt x_at, std::int64_t count,
                 std::span<const std::int64_t> indices, const void* x, void* y) {
  const auto at = from_front(indices, x_at.extent, "gather_rows");
  with_word(element_bytes, [&]<class W>(W) {
    const W* const in = static_cast<const W*>(x);
    W* const out = static_cast<W*>(y);
    parallel_each(x_at.outer * count, x_at.inner, [&](std::int64_t k) {
      std::copy_n(in + (k / count * x_at.extent + at[static_cast<std::size_t>(k)]) * x_at.inner, x_at.inner,
                  out + k * x_at.inner);
    });
  });
}

template <class T>
void scatter_rows(RowsAt y_at, std::int64_t count, std::span<const std::int64_t> indices, const T* g, T* y) {
  const auto at = from_front(indices, y_at.extent, "scatter_rows");
  parallel_each(y_at.outer, (y_at.extent + count) * y_at.inner, [&](std::int64_t o) {
    T* const out = y + o * y_at.extent * y_at.inner;
    std::fill_n(out, y_at.extent * y_at.inner, T(0));
    for (std::int64_t k = 0; k < count; ++k) {
      T* const to = out + at[static_cast<std::size_t>(o * count + k)] * y_at.inner;
      const T* const from = g + (o * count + k) * y_at.inner;
      for (std::int64_t i = 0; i < y_at.inner; ++i) to[i] += from[i];
    }
  });
}

template <class T>
void cumsum(RowsAt at, bool exclusive, bool reverse, const T* x, T* y) {
  parallel_each(at.outer, at.extent * at.inner, [&](std::int64_t o) {
    std::vector<T> sums(static_cast<std::size_t>(at.inner), T(0));
    for (std::int64_t step = 0; step < at.extent; ++step) {
      const std::int64_t row = (o * at.extent + (reverse ? at.extent - 1 - step : step)) * at.inner;
      for (std::int64_t i = 0; i < at.inner; ++i) {
        T& sum = sums[static_cast<std::size_t>(i)];
        const T before = sum;
        sum = static_cast<T>(sum + x[row + i]);
        y[row + i] = exclusive ? before : sum;
      }
    }
  });
}

template <class T>
void top_index(RowsAt at, std::int64_t count, bool smallest, const T* x, std::int64_t* y) {
  parallel_each(at.outer * at.inner, at.extent * 8, [&](std::int64_t k) {
    const std::int64_t o = k / at.inner, i = k % at.inner;
    const T* const line = x + o * at.extent * at.inner + i;
    std::vector<std::int64_t> order(static_cast<std::size_t>(at.extent));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    const auto before = [&](std::int64_t p, std::int64_t q) {
      const T a = line[p * at.inner], b = line[q * at.inner];
      const bool nan_a = a != a, nan_b = b != b;
      if (nan_a != nan_b) return nan_a;
      if (!nan_a && a != b) return smallest ? a < b : a > b;
      return p < q;
    };
    std::partial_sort(order.begin(), order.begin() + count, order.end(), before);
    for (std::int64_t c = 0; c < count; ++c)
      y[(o * count + c) * at.inner + i] = order[static_cast<std::size_t>(c)];
  });
}

#define RULEGRAD_FOR_TYPE(T)                              \
  template void cumsum(RowsAt, bool, bool, const T*, T*); \
  template void top_index(RowsAt, std::int64_t, bool, const T*, std::int64_t*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
RULEGRAD_FOR_TYPE(std::int32_t)
RULEGRAD_FOR_TYPE(std::int64_t)
#undef RULEGRAD_FOR_TYPE
template void scatter_rows(RowsAt, std::int64_t, std::span<const std::int64_t>, const float*, float*);
template void scatter_rows(RowsAt, std::int64_t, std::span<const std::int64_t>, const double*, double*);

}  // namespace rulegrad::kernels
