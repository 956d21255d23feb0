#include "runtime/kernels/portable/sweep.hpp"

#include <algorithm>

#include "runtime/kernels/portable/matmul.hpp"
#include "runtime/kernels/portable/micro_kernel.hpp"
#include "runtime/kernels/portable/parallel.hpp"
#include "runtime/kernels/portable/scratch.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t kBand = 32;        // rows of the weight that a thread takes at once
constexpr std::int64_t kRows = 4;         // of them, those that a function is applied to at once
constexpr std::int64_t kDotDepth = 1024;  // of one partial sum, spread over the lanes of a vector
constexpr std::int64_t kAxpyDepth = 256;  // the same, one after the other
constexpr std::int64_t kAxpyRows = 4;     // of the weight, at once

/// Where a piece of the weight lies after the function: in its place, or in `room`.
template <class T>
struct Piece {
  const T* data;
  std::int64_t stride;
};
template <class T>
Piece<T> applied(const ElementFunction<T>* function, const T* w, std::int64_t stride, std::int64_t rows, std::int64_t width, T* room) {
  if (function == nullptr) return {w, stride};
  for (std::int64_t r = 0; r < rows; ++r) (*function)(width, w + r * stride, room + r * width);
  return {room, width};
}

/// The weight is [columns, depth].
template <class T>
void by_rows(std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  const MicroKernels<T>& kernels = micro_kernels<T>();
  // A band of rows at a time, so that a piece of x serves all of them while it is near.
  parallel_chunks(columns, kBand, [&](std::int64_t begin, std::int64_t end) {
    T* const room = reinterpret_cast<T*>(thread_scratch(static_cast<std::size_t>(kRows * kDotDepth) * sizeof(T)));
    for (std::int64_t p = 0; p < depth; p += kDotDepth) {
      const std::int64_t length = std::min(kDotDepth, depth - p);
      for (std::int64_t first = begin; first < end; first += kRows) {
        const std::int64_t last = std::min(end, first + kRows);
        for (const SweptForm<T>& form : forms) {
          const Piece<T> piece = applied(form.function, w + first * depth + p, depth, last - first, length, room);
          for (const SweptProduct<T>& product : form.products)
            for (std::int64_t i = 0; i < product.rows; i += kDotBlock)
              for (std::int64_t j = first; j < last; j += kDotBlock) {
                const std::int64_t height = std::min<std::int64_t>(kDotBlock, product.rows - i);
                const std::int64_t width = std::min<std::int64_t>(kDotBlock, last - j);
                kernels.dot[height - 1][width - 1](length, product.x + i * depth + p, depth, piece.data + (j - first) * piece.stride,
                                                   piece.stride, product.y + i * columns + j, columns, 1, p > 0);
              }
        }
      }
    }
  });
}

/// The weight is [depth, columns], taken in strips of columns.
template <class T>
void by_strips(std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  const MicroKernels<T>& kernels = micro_kernels<T>();
  std::int64_t all_rows = 0;
  for (const SweptForm<T>& form : forms)
    for (const SweptProduct<T>& product : form.products) all_rows += product.rows;
  const std::int64_t share = columns / (4 * std::int64_t{thread_count()});
  const std::int64_t strip = std::clamp<std::int64_t>(share / 64 * 64, 128, 1024);
  parallel_chunks(columns, strip, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t width = end - begin;
    T* const sums = reinterpret_cast<T*>(thread_scratch(static_cast<std::size_t>((all_rows + kAxpyRows) * width) * sizeof(T)));
    T* const room = sums + all_rows * width;
    for (std::int64_t p = 0; p < depth; p += kAxpyDepth) {
      const std::int64_t steps = std::min(kAxpyDepth, depth - p);
      std::fill_n(sums, all_rows * width, T(0));
      // Few rows of w at a time, so that they stay near for all rows of x.
      for (std::int64_t q = 0; q < steps; q += kAxpyRows) {
        const std::int64_t rows = std::min(kAxpyRows, steps - q);
        T* sum = sums;
        for (const SweptForm<T>& form : forms) {
          const Piece<T> piece = applied(form.function, w + (p + q) * columns + begin, columns, rows, width, room);
          for (const SweptProduct<T>& product : form.products) {
            for (std::int64_t i = 0; i < product.rows; i += kDotBlock) {
              const std::int64_t height = std::min<std::int64_t>(kDotBlock, product.rows - i);
              kernels.axpy[height - 1](rows, width, product.x + i * depth + p + q, depth, piece.data, piece.stride, sum + i * width, width);
            }
            sum += product.rows * width;
          }
        }
      }
      const T* sum = sums;
      for (const SweptForm<T>& form : forms)
        for (const SweptProduct<T>& product : form.products)
          for (std::int64_t i = 0; i < product.rows; ++i, sum += width) {
            T* const to = product.y + i * columns + begin;
            for (std::int64_t c = 0; c < width; ++c) to[c] = p > 0 ? to[c] + sum[c] : sum[c];
          }
    }
  });
}

}  // namespace

template <class T>
void sweep(bool transposed, std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  std::vector<SweptForm<T>> thin;
  for (const SweptForm<T>& form : forms) {
    SweptForm<T> some{form.function, {}};
    for (const SweptProduct<T>& product : form.products) {
      if (product.rows * columns == 0) continue;
      if (depth == 0)
        std::fill_n(product.y, product.rows * columns, T(0));
      else if (product.rows <= kThin)
        some.products.push_back(product);
      else
        gemm_of_function(transposed, product.rows, columns, depth, product.x, w, form.function, product.y);
    }
    if (!some.products.empty()) thin.push_back(std::move(some));
  }
  if (thin.empty()) return;
  if (transposed)
    by_rows<T>(columns, depth, w, thin);
  else
    by_strips<T>(columns, depth, w, thin);
}

template void sweep(bool, std::int64_t, std::int64_t, const float*, std::span<const SweptForm<float>>);
template void sweep(bool, std::int64_t, std::int64_t, const double*, std::span<const SweptForm<double>>);

}  // namespace rulegrad::kernels
