#include "kernels/reduce/reduce.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 1.33 times as long (encoder, gradient, batch 1): benchmarks/kernel_worth.
const KernelPath rows_path("reduce: rows");
// Stays: partial sums are shared out to threads, and their cut depends on the extents alone.
const KernelPath long_rows_path("reduce: pieces of long rows");
// Without it an analysis takes 1.05 times as long (encoder, gradient, batch 4): benchmarks/kernel_worth.
const KernelPath columns_path("reduce: columns");
// Stays: partial sums are shared out to threads, and their cut depends on the extents alone.
const KernelPath long_columns_path("reduce: pieces of long columns");

template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

template <class T>
struct Sum {
  using Value = Wide<T>;
  static constexpr Value start() { return 0; }
  static constexpr Value join(Value a, Value b) { return a + b; }
};
template <class T>
struct Product {
  using Value = Wide<T>;
  static constexpr Value start() { return 1; }
  static constexpr Value join(Value a, Value b) { return a * b; }
};
template <class T>
struct Largest {
  using Value = T;
  static constexpr Value start() {
    return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::lowest();
  }
  static constexpr Value join(Value a, Value b) { return a > b || a != a ? a : b; }
};
template <class T>
struct Smallest {
  using Value = T;
  static constexpr Value start() {
    return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  static constexpr Value join(Value a, Value b) { return a < b || a != a ? a : b; }
};

/// Sixteen running values whatever the vector width, so that results do not depend on it.
template <class Fold, class T>
typename Fold::Value fold_row(typename Fold::Value start, std::int64_t count, const T* x) {
  using Value = typename Fold::Value;
  constexpr std::int64_t lanes = 16;
  Value lane[lanes];
  for (auto& l : lane) l = Fold::start();
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) lane[j] = Fold::join(lane[j], static_cast<Value>(x[i + j]));
  for (std::int64_t j = 0; i < count; ++i, ++j) lane[j] = Fold::join(lane[j], static_cast<Value>(x[i]));
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)
    for (std::int64_t j = 0; j < half; ++j) lane[j] = Fold::join(lane[j], lane[j + half]);
  return Fold::join(start, lane[0]);
}

/// The kept and the reduced axes of x as iteration spaces of their own. When the innermost axis is kept it is
/// `width` instead, and its values are reduced side by side.
struct Split {
  Walk<1> kept, reduced;
  std::int64_t kept_count = 1, reduced_count = 1, width = 1;
};

Split split(DimsView dims, DimsView axes) {
  Split s;
  std::vector<bool> is_reduced(dims.size(), false);
  for (const auto axis : axes) is_reduced[static_cast<std::size_t>(axis)] = true;
  std::size_t outer = dims.size();
  while (outer > 0 && (!is_reduced[outer - 1] || dims[outer - 1] == 1)) s.width *= dims[--outer];
  std::vector<std::int64_t> stride(dims.size());
  std::int64_t step = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    stride[i] = step;
    step *= dims[i];
  }
  for (std::size_t i = 0; i < outer; ++i) {
    (is_reduced[i] ? s.reduced : s.kept).push(dims[i], {stride[i]});
    (is_reduced[i] ? s.reduced_count : s.kept_count) *= dims[i];
  }
  s.kept.finish();
  s.reduced.finish();
  return s;
}

constexpr std::int64_t row_chunk = 32768;    // values one partial result covers, innermost axis reduced
constexpr std::int64_t column_chunk = 2048;  // rows one partial result covers, innermost axis kept
constexpr std::int64_t tile_columns = 256;   // of a tile of columns

/// The offset in x of flat position `at` of a space.
std::int64_t offset_of(const Walk<1>& walk, std::int64_t at) {
  std::int64_t offset = 0;
  for (std::size_t i = walk.rank; i-- > 0;) {
    offset += at % walk.extent[i] * walk.stride[0][i];
    at /= walk.extent[i];
  }
  return offset;
}

template <class Fold, class T, class Finish>
void fold_rows(const Split& s, const T* x, T* y, Finish&& finish) {
  using Value = typename Fold::Value;
  const std::int64_t chunks = std::max<std::int64_t>(1, (s.reduced_count + row_chunk - 1) / row_chunk);
  const auto partial = [&](std::int64_t kept, std::int64_t chunk) {
    const T* const from = x + offset_of(s.kept, kept);
    Value value = Fold::start();
    vectorised([&] {
      for_each_row(s.reduced, chunk * row_chunk, std::min(s.reduced_count, (chunk + 1) * row_chunk),
                   [&](std::int64_t, std::int64_t length, const std::array<std::int64_t, 1>& offset) {
                     value = fold_row<Fold>(value, length, from + offset[0]);
                   });
    });
    return value;
  };
  if (chunks == 1) {
    parallel_each(s.kept_count, s.reduced_count, [&](std::int64_t k) { y[k] = finish(partial(k, 0)); });
    return;
  }
  std::vector<Value> parts(static_cast<std::size_t>(s.kept_count * chunks));
  parallel_chunks(s.kept_count * chunks, 1, [&](std::int64_t i, std::int64_t) {
    parts[static_cast<std::size_t>(i)] = partial(i / chunks, i % chunks);
  });
  for (std::int64_t k = 0; k < s.kept_count; ++k) {
    Value value = Fold::start();
    for (std::int64_t c = 0; c < chunks; ++c)
      value = Fold::join(value, parts[static_cast<std::size_t>(k * chunks + c)]);
    y[k] = finish(value);
  }
}

template <class Fold, class T, class Finish>
void fold_columns(const Split& s, const T* x, T* y, Finish&& finish) {
  using Value = typename Fold::Value;
  const std::int64_t chunks = std::max<std::int64_t>(1, (s.reduced_count + column_chunk - 1) / column_chunk);
  const std::int64_t tiles = (s.width + tile_columns - 1) / tile_columns;
  std::vector<Value> parts(chunks == 1 ? 0 : static_cast<std::size_t>(s.kept_count * chunks * s.width));
  parallel_each(
      s.kept_count * chunks * tiles,
      std::min(s.reduced_count, column_chunk) * std::min(s.width, tile_columns), [&](std::int64_t task) {
        const std::int64_t kept = task / (chunks * tiles), chunk = task / tiles % chunks,
                           first = task % tiles * tile_columns;
        const std::int64_t columns = std::min(tile_columns, s.width - first);
        const T* const from = x + offset_of(s.kept, kept) + first;
        Value value[tile_columns];
        vectorised([&] {
          for (std::int64_t j = 0; j < columns; ++j) value[j] = Fold::start();
          const std::int64_t begin = chunk * column_chunk,
                             end = std::min(s.reduced_count, begin + column_chunk);
          for_each_row(s.reduced, begin, end,
                       [&](std::int64_t, std::int64_t length, const std::array<std::int64_t, 1>& offset) {
                         const std::int64_t stride = s.reduced.stride[0][s.reduced.rank - 1];
                         for (std::int64_t i = 0; i < length; ++i) {
                           const T* const row = from + offset[0] + i * stride;
#pragma omp simd
                           for (std::int64_t j = 0; j < columns; ++j)
                             value[j] = Fold::join(value[j], static_cast<Value>(row[j]));
                         }
                       });
        });
        for (std::int64_t j = 0; j < columns; ++j) {
          if (chunks == 1)
            y[kept * s.width + first + j] = finish(value[j]);
          else
            parts[static_cast<std::size_t>((kept * chunks + chunk) * s.width + first + j)] = value[j];
        }
      });
  if (chunks == 1) return;
  for (std::int64_t kept = 0; kept < s.kept_count; ++kept)
    for (std::int64_t j = 0; j < s.width; ++j) {
      Value value = Fold::start();
      for (std::int64_t c = 0; c < chunks; ++c)
        value = Fold::join(value, parts[static_cast<std::size_t>((kept * chunks + c) * s.width + j)]);
      y[kept * s.width + j] = finish(value);
    }
}

template <class Fold, class T, class Finish>
void fold(DimsView dims, DimsView axes, const T* x, T* y, Finish&& finish) {
  const Split s = split(dims, axes);
  if (s.kept_count * s.width == 0) return;
  if (s.width == 1)
    (s.reduced_count <= row_chunk ? rows_path : long_rows_path).taken();
  else
    (s.reduced_count <= column_chunk ? columns_path : long_columns_path).taken();
  if (s.width == 1)
    fold_rows<Fold>(s, x, y, finish);
  else
    fold_columns<Fold>(s, x, y, finish);
}

/// better(a, b): a replaces b, which came before it.
template <class T, class Better>
void arg_first(DimsView dims, std::int64_t axis, const T* x, std::int64_t* y, Better&& better) {
  const auto at = static_cast<std::size_t>(axis);
  const std::int64_t extent = dims[at], inner = count_of(dims.subspan(at + 1)),
                     outer = count_of(dims.first(at));
  if (outer * inner == 0) return;
  if (extent == 0) throw Error(ErrorCode::shape, "[argmax] there is no largest of no values");
  parallel_each(outer * inner, extent, [&](std::int64_t k) {
    const T* const from = x + k / inner * extent * inner + k % inner;
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < extent; ++i)
      if (better(from[i * inner], from[best * inner])) best = i;
    y[k] = best;
  });
}

}  // namespace

template <class T>
void reduce(Reduction op, DimsView x_dims, DimsView axes, const T* x, T* y) {
  std::int64_t count = 1;
  for (const auto axis : axes) count *= x_dims[static_cast<std::size_t>(axis)];
  const auto same = [](auto v) { return static_cast<T>(v); };
  switch (op) {
    case Reduction::sum:
      return fold<Sum<T>>(x_dims, axes, x, y, same);
    case Reduction::mean:
      return fold<Sum<T>>(x_dims, axes, x, y, [count](Wide<T> v) {
        if constexpr (std::is_integral_v<T>)
          return static_cast<T>(count == 0 ? 0 : v / count);
        else
          return static_cast<T>(v / static_cast<double>(count));
      });
    case Reduction::amax:
      return fold<Largest<T>>(x_dims, axes, x, y, same);
    case Reduction::amin:
      return fold<Smallest<T>>(x_dims, axes, x, y, same);
    case Reduction::prod:
      return fold<Product<T>>(x_dims, axes, x, y, same);
  }
}

template <class T>
void sum_to(DimsView x_dims, const T* x, DimsView y_dims, T* y) {
  std::vector<std::int64_t> axes;
  const std::size_t added = x_dims.size() - y_dims.size();
  for (std::size_t i = 0; i < x_dims.size(); ++i)
    if (i < added || (y_dims[i - added] == 1 && x_dims[i] != 1)) axes.push_back(static_cast<std::int64_t>(i));
  reduce(Reduction::sum, x_dims, axes, x, y);
}

template <class T>
void argmax(DimsView x_dims, std::int64_t axis, const T* x, std::int64_t* y) {
  arg_first(x_dims, axis, x, y, [](T a, T b) { return a > b || (a != a && b == b); });
}

template <class T>
void argmin(DimsView x_dims, std::int64_t axis, const T* x, std::int64_t* y) {
  arg_first(x_dims, axis, x, y, [](T a, T b) { return a < b || (a != a && b == b); });
}

#define RULEGRAD_FOR_TYPE(T)                                             \
  template void reduce(Reduction, DimsView, DimsView, const T*, T*);     \
  template void sum_to(DimsView, const T*, DimsView, T*);                \
  template void argmax(DimsView, std::int64_t, const T*, std::int64_t*); \
  template void argmin(DimsView, std::int64_t, const T*, std::int64_t*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
RULEGRAD_FOR_TYPE(std::int32_t)
RULEGRAD_FOR_TYPE(std::int64_t)
#undef RULEGRAD_FOR_TYPE

}  // namespace rulegrad::kernels
