#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/words.hpp"
#include "kernels/move/indices.hpp"
#include "kernels/move/movement.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t strip_extent = 1024;

}  // namespace

void concat(std::size_t element_bytes, std::int64_t outer, std::span<const std::int64_t> extents,
            std::int64_t inner, std::span<const void* const> xs, void* y) {
  std::int64_t total = 0;
  for (const auto e : extents) total += e;
  const auto row_bytes = static_cast<std::size_t>(inner) * element_bytes;
  std::size_t offset = 0;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    const std::size_t bytes = static_cast<std::size_t>(extents[k]) * row_bytes;
    const auto* const from = static_cast<const std::byte*>(xs[k]);
    std::byte* const to = static_cast<std::byte*>(y) + offset;
    const std::size_t stride = static_cast<std::size_t>(total) * row_bytes;
    constexpr std::size_t strip = 65536;
    const auto strips = static_cast<std::int64_t>((bytes + strip - 1) / strip);
    parallel_each(outer * strips, static_cast<std::int64_t>(std::min(bytes, strip) / 4),
                  [&](std::int64_t task) {
                    const auto block = static_cast<std::size_t>(task / strips),
                               first = static_cast<std::size_t>(task % strips) * strip;
                    std::memcpy(to + block * stride + first, from + block * bytes + first,
                                std::min(strip, bytes - first));
                  });
    offset += bytes;
  }
}

void gather(std::size_t element_bytes, std::int64_t outer, std::int64_t extent, std::int64_t inner,
            std::span<const std::int64_t> indices, const void* x, void* y) {
  const auto at = from_front(indices, extent, "gather");
  const auto n = static_cast<std::int64_t>(at.size());
  with_word(element_bytes, [&]<class W>(W) {
    const W* const in = static_cast<const W*>(x);
    W* const out = static_cast<W*>(y);
    parallel_each(outer * n, inner, [&](std::int64_t k) {
      std::copy_n(in + (k / n * extent + at[static_cast<std::size_t>(k % n)]) * inner, inner,
                  out + k * inner);
    });
  });
}

template <class T>
void scatter_add(std::int64_t outer, std::int64_t extent, std::int64_t inner,
                 std::span<const std::int64_t> indices, const T* g, T* y) {
  const auto at = from_front(indices, extent, "scatter_add");
  const auto n = static_cast<std::int64_t>(at.size());
  const std::int64_t strips = (inner + strip_extent - 1) / strip_extent;
  parallel_each(outer * strips, (extent + n) * std::min(inner, strip_extent), [&](std::int64_t task) {
    const std::int64_t first = task % strips * strip_extent, width = std::min(strip_extent, inner - first);
    T* const out = y + task / strips * extent * inner + first;
    const T* const in = g + task / strips * n * inner + first;
    vectorised([&] {
      for (std::int64_t i = 0; i < extent; ++i) std::fill_n(out + i * inner, width, T(0));
      for (std::int64_t k = 0; k < n; ++k) {
        T* const to = out + at[static_cast<std::size_t>(k)] * inner;
        const T* const from = in + k * inner;
#pragma omp simd
        for (std::int64_t j = 0; j < width; ++j) to[j] += from[j];
      }
    });
  });
}

template <class T, class Index>
void one_hot(std::int64_t depth, std::span<const Index> indices, T* y) {
  parallel_each(static_cast<std::int64_t>(indices.size()), depth, [&](std::int64_t k) {
    std::fill_n(y + k * depth, depth, T(0));
    const auto index = static_cast<std::int64_t>(indices[static_cast<std::size_t>(k)]);
    if (index >= -depth && index < depth) y[k * depth + (index < 0 ? index + depth : index)] = T(1);
  });
}

void cast(DType from, DType to, std::int64_t count, const void* x, void* y) {
  dispatch(from, [&]<class From>(From) {
    dispatch(to, [&]<class To>(To) {
      const From* const in = static_cast<const From*>(x);
      To* const out = static_cast<To*>(y);
      parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = static_cast<To>(in[i]);
      });
    });
  });
}

template void scatter_add(std::int64_t, std::int64_t, std::int64_t, std::span<const std::int64_t>,
                          const float*, float*);
template void scatter_add(std::int64_t, std::int64_t, std::int64_t, std::span<const std::int64_t>,
                          const double*, double*);

#define RULEGRAD_FOR_TYPE(T)                                              \
  template void one_hot(std::int64_t, std::span<const std::int64_t>, T*); \
  template void one_hot(std::int64_t, std::span<const std::int32_t>, T*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
RULEGRAD_FOR_TYPE(std::int32_t)
RULEGRAD_FOR_TYPE(std::int64_t)
RULEGRAD_FOR_TYPE(std::uint8_t)
RULEGRAD_FOR_TYPE(std::int8_t)
RULEGRAD_FOR_TYPE(bool)
#undef RULEGRAD_FOR_TYPE

}  // namespace rulegrad::kernels
