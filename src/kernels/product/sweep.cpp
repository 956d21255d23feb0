#include "kernels/product/sweep.hpp"

#include <algorithm>

#include "kernels/common/parallel.hpp"
#include "kernels/common/scratch.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/product/micro_kernel.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 2.5 times as long (MLP, integrated gradients, batch 1): benchmarks/kernel_worth.
const KernelPath rows_path("sweep: a transposed weight by rows");
// Without it an analysis takes 1.4 times as long (MLP, deeplift.rescale, batch 1): benchmarks/kernel_worth.
const KernelPath strips_path("sweep: strips of columns");
// Stays: functions of large weights need not be stored; 1.08 times as long without (wide MLP, lrp.alpha_2_beta_1).
const KernelPath applied_path("sweep: functions of the weight");

// Rows of a transposed weight that a thread takes at once, and the depth of one partial sum over them, which is
// spread over the lanes of a vector.
constexpr std::int64_t weight_band = 32, rows_depth = 1024;
// The depth where the weight lies the other way, the columns that a thread takes at most, and about how many bytes of
// their sums stay near.
constexpr std::int64_t strip_depth = 16, strip_extent = 1536, sums_bytes = 512 << 10;

/// Asks for memory that is read soon.
template <class T>
void prefetch(std::int64_t rows, std::int64_t width, const T* data, std::int64_t stride) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; c += line) __builtin_prefetch(data + r * stride + c, 0, 2);
}

/// `count` up to whole vectors.
std::int64_t padded_to(std::int64_t lanes, std::int64_t count) {
  return (count + lanes - 1) / lanes * lanes;
}

/// Where a piece of the weight lies after the function: in its place, or in `room`.
template <class T>
struct Piece {
  const T* data;
  std::int64_t stride;
};
template <class T>
Piece<T> applied(const ElementFunction<T>* function, const T* w, std::int64_t stride, std::int64_t rows,
                 std::int64_t width, T* room) {
  if (function == nullptr) return {w, stride};
  for (std::int64_t r = 0; r < rows; ++r) (*function)(width, w + r * stride, room + r * width);
  return {room, width};
}

/// The weight is [columns, depth].
template <class T>
void by_rows(std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  const MicroKernels<T>& kernels = micro_kernels<T>();
  // A band of rows at a time, so that a piece of x serves all of them while it is near.
  parallel_chunks(columns, weight_band, [&](std::int64_t begin, std::int64_t end) {
    T* const room =
        reinterpret_cast<T*>(thread_scratch(static_cast<std::size_t>(dot_block * rows_depth) * sizeof(T)));
    for (std::int64_t p = 0; p < depth; p += rows_depth) {
      const std::int64_t length = std::min(rows_depth, depth - p);
      for (std::int64_t j = begin; j < end; j += dot_block) {
        const std::int64_t width = std::min<std::int64_t>(dot_block, end - j);
        for (const SweptForm<T>& form : forms) {
          const Piece<T> piece = applied(form.function, w + j * depth + p, depth, width, length, room);
          for (const SweptProduct<T>& product : form.products)
            for (std::int64_t i = 0; i < product.rows; i += dot_block) {
              const std::int64_t height = std::min<std::int64_t>(dot_block, product.rows - i);
              kernels.dot[height - 1][width - 1](length, product.x + i * depth + p, depth, piece.data,
                                                 piece.stride, product.y + i * columns + j, columns, p > 0);
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
  const std::int64_t lanes = kernels.lanes, panel = kernels.panel();
  std::int64_t all_rows = 0;
  for (const SweptForm<T>& form : forms)
    for (const SweptProduct<T>& product : form.products) all_rows += product.rows;
  const std::int64_t share = columns / (4 * std::int64_t{thread_count()});
  const std::int64_t near =
      std::min(strip_extent, sums_bytes / static_cast<std::int64_t>(sizeof(T)) / all_rows);
  const std::int64_t strip = std::max<std::int64_t>(1, std::min(share, near) / panel) * panel;
  parallel_chunks(columns, strip, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t width = end - begin, whole = width / lanes * lanes, padded = padded_to(lanes, width);
    T* const sums = reinterpret_cast<T*>(thread_scratch(
        static_cast<std::size_t>((all_rows + strip_depth) * padded + strip_depth * lanes) * sizeof(T)));
    T* const room = sums + all_rows * padded;
    T* const rest = room + strip_depth * padded;  // the last columns, with zeros to a whole vector
    for (std::int64_t p = 0; p < depth; p += strip_depth) {
      const std::int64_t steps = std::min(strip_depth, depth - p);
      const T* const here = w + p * columns + begin;
      T* sum = sums;
      for (const SweptForm<T>& form : forms) {
        const Piece<T> piece = applied(form.function, here, columns, steps, width, room);
        for (std::int64_t q = 0; q < (whole < width ? steps : 0); ++q)
          for (std::int64_t c = 0; c < lanes; ++c)
            rest[q * lanes + c] = whole + c < width ? piece.data[q * piece.stride + whole + c] : T(0);
        for (std::int64_t c = 0, used = 0; c < padded; c += used) {
          used = c < whole ? std::min(panel, whole - c) : lanes;
          if (&form == forms.data())
            prefetch(std::min(strip_depth, depth - p - steps), std::min(used, width - c),
                     here + steps * columns + c, columns);
          const T* const right = c < whole ? piece.data + c : rest;
          T* to = sum + c;
          for (const SweptProduct<T>& product : form.products)
            for (std::int64_t i = 0; i < product.rows; i += kernels.max_rows) {
              const std::int64_t height = std::min<std::int64_t>(kernels.max_rows, product.rows - i);
              kernels.at(height, used / lanes)(steps, product.x + i * depth + p, depth, 1, right,
                                               c < whole ? piece.stride : lanes, to, padded, p > 0);
              to += height * padded;
            }
        }
        for (const SweptProduct<T>& product : form.products) sum += product.rows * padded;
      }
    }
    const T* sum = sums;
    for (const SweptForm<T>& form : forms)
      for (const SweptProduct<T>& product : form.products)
        for (std::int64_t i = 0; i < product.rows; ++i, sum += padded)
          std::copy_n(sum, width, product.y + i * columns + begin);
  });
}

}  // namespace

bool sweeps(bool transposed) {
  return (transposed ? rows_path : strips_path).open();
}

bool sweeps_functions() {
  return applied_path.open();
}

template <class T>
void sweep(bool transposed, std::int64_t columns, std::int64_t depth, const T* w,
           std::span<const SweptForm<T>> forms) {
  if (std::ranges::any_of(forms, [](const SweptForm<T>& form) { return form.function != nullptr; }))
    applied_path.taken();
  std::int64_t rows = 0;
  for (const SweptForm<T>& form : forms)
    for (const SweptProduct<T>& product : form.products) {
      rows += product.rows;
      if (depth == 0) std::fill_n(product.y, product.rows * columns, T(0));
    }
  if (rows * columns * depth == 0) return;
  (transposed ? rows_path : strips_path).taken();
  if (transposed)
    by_rows<T>(columns, depth, w, forms);
  else
    by_strips<T>(columns, depth, w, forms);
}

template void sweep(bool, std::int64_t, std::int64_t, const float*, std::span<const SweptForm<float>>);
template void sweep(bool, std::int64_t, std::int64_t, const double*, std::span<const SweptForm<double>>);

}  // namespace rulegrad::kernels
