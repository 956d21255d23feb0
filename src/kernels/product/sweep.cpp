#include "kernels/product/sweep.hpp"

#include <algorithm>

#include "kernels/common/parallel.hpp"
#include "kernels/common/scratch.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/product/micro_kernel.hpp"

namespace rulegrad::kernels {
namespace {

const KernelPath few_path("sweep: few rows");
const KernelPath many_path("sweep: many rows, transposed");
const KernelPath strips_path("sweep: strips of columns");
const KernelPath apart_path("sweep: rows that lie apart are copied", KernelPath::Choice::only);
const KernelPath applied_path("sweep: functions of the weight");

constexpr std::int64_t weight_band = 32;  // rows of a transposed weight that a thread takes at once
constexpr std::int64_t few_rows =
    7;  // rows of x that are multiplied with it as they lie; more are transposed,
constexpr std::int64_t few_columns =
    16;  // unless the weight has so few rows that this would take as long as the product
constexpr std::int64_t few_depth = 1024;  // of one partial sum of few rows, spread over the lanes of a vector
constexpr std::int64_t many_depth = 128;  // of many, one after the other
constexpr std::int64_t strip_depth = 16;  // the same where the weight lies the other way
constexpr std::int64_t strip_extent = 1536;     // columns of such a weight that a thread takes at most
constexpr std::int64_t sums_bytes = 512 << 10;  // bytes of their sums that stay near, about

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

/// Elements [begin, begin + width) of row i of y.
template <class T>
void store(const SweptProduct<T>& product, std::int64_t i, std::int64_t begin, std::int64_t width,
           const T* from) {
  T* const to = product.y + i * product.y_row + begin * product.y_column;
  if (product.y_column == 1)
    std::copy_n(from, width, to);
  else
    for (std::int64_t c = 0; c < width; ++c) to[c * product.y_column] = from[c];
}

/// Whether rows are multiplied with a transposed weight as they lie.
bool is_few(std::int64_t rows, std::int64_t columns) {
  return few_path.open() && (rows <= few_rows || columns <= few_columns || !many_path.open());
}

/// Copies of x for products whose rows of x are not contiguous.
template <class T>
void gather_rows_of_x(std::int64_t depth, std::vector<SweptForm<T>>& forms) {
  std::int64_t copied = 0;
  const auto each_apart = [&](const auto& body) {
    for (SweptForm<T>& form : forms)
      for (SweptProduct<T>& product : form.products)
        if (product.x_column != 1) body(product);
  };
  each_apart([&](const SweptProduct<T>& product) { copied += product.rows * depth; });
  if (copied == 0) return;
  apart_path.taken();
  T* copy = reinterpret_cast<T*>(shared_scratch(static_cast<std::size_t>(copied) * sizeof(T)));
  each_apart([&](SweptProduct<T>& product) {
    for (std::int64_t i = 0; i < product.rows; ++i)
      for (std::int64_t p = 0; p < depth; ++p)
        copy[i * depth + p] = product.x[i * product.x_row + p * product.x_column];
    product.x = copy;
    product.x_row = depth;
    product.x_column = 1;
    copy += product.rows * depth;
  });
}

/// The weight is [columns, depth]; each product has few rows, those of x contiguous.
template <class T>
void few_by_rows(std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  const MicroKernels<T>& kernels = micro_kernels<T>();
  // A band of rows at a time, so that a piece of x serves all of them while it is near.
  parallel_chunks(columns, weight_band, [&](std::int64_t begin, std::int64_t end) {
    T* const room =
        reinterpret_cast<T*>(thread_scratch(static_cast<std::size_t>(dot_block * few_depth) * sizeof(T)));
    for (std::int64_t p = 0; p < depth; p += few_depth) {
      const std::int64_t length = std::min(few_depth, depth - p);
      for (std::int64_t j = begin; j < end; j += dot_block) {
        const std::int64_t width = std::min<std::int64_t>(dot_block, end - j);
        for (const SweptForm<T>& form : forms) {
          const Piece<T> piece = applied(form.function, w + j * depth + p, depth, width, length, room);
          for (const SweptProduct<T>& product : form.products)
            for (std::int64_t i = 0; i < product.rows; i += dot_block) {
              const std::int64_t height = std::min<std::int64_t>(dot_block, product.rows - i);
              kernels.dot[height - 1][width - 1](length, product.x + i * product.x_row + p, product.x_row,
                                                 piece.data, piece.stride,
                                                 product.y + i * product.y_row + j * product.y_column,
                                                 product.y_row, product.y_column, p > 0);
            }
        }
      }
    }
  });
}

/// x in panels of `panel` rows, each of them transposed: [depth, panel], rows of zeros added to whole
/// vectors.
template <class T>
void transpose_to_panels(const SweptProduct<T>& product, std::int64_t padded, std::int64_t depth,
                         std::int64_t panel, T* panels) {
  constexpr std::int64_t line = 16, chunk = 16 * line;  // a cache line of each row of x at a time
  parallel_chunks(depth, chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = 0; r < padded; r += panel) {
      const std::int64_t width = std::min(panel, padded - r);
      T* const to = panels + r * depth;
      for (std::int64_t p = begin; p < end; p += line)
        for (std::int64_t i = 0; i < width; ++i)
          for (std::int64_t q = p; q < std::min(p + line, end); ++q)
            to[q * width + i] =
                r + i < product.rows ? product.x[(r + i) * product.x_row + q * product.x_column] : T(0);
    }
  });
}

/// The weight is [columns, depth]; the lanes of a vector are rows of x, of which there are many.
template <class T>
void many_by_rows(std::int64_t columns, std::int64_t depth, const T* w, std::span<const SweptForm<T>> forms) {
  const MicroKernels<T>& kernels = micro_kernels<T>();
  const std::int64_t lanes = kernels.lanes, panel = kernels.panel(), height = kernels.max_rows;
  const auto padded = [lanes](std::int64_t rows) { return padded_to(lanes, rows); };
  std::int64_t all_rows = 0;
  for (const SweptForm<T>& form : forms)
    for (const SweptProduct<T>& product : form.products) all_rows += padded(product.rows);
  T* const panels =
      reinterpret_cast<T*>(shared_scratch(static_cast<std::size_t>(all_rows * depth) * sizeof(T)));
  std::int64_t first = 0;
  for (const SweptForm<T>& form : forms)
    for (const SweptProduct<T>& product : form.products) {
      transpose_to_panels(product, padded(product.rows), depth, panel, panels + first * depth);
      first += padded(product.rows);
    }
  parallel_chunks(columns, weight_band, [&](std::int64_t begin, std::int64_t end) {
    T* const room = reinterpret_cast<T*>(
        thread_scratch(static_cast<std::size_t>(height * many_depth + weight_band * all_rows) * sizeof(T)));
    T* const sums = room + height * many_depth;  // [rows of the weight, rows of all x]
    for (std::int64_t p = 0; p < depth; p += many_depth) {
      const std::int64_t length = std::min(many_depth, depth - p);
      for (std::int64_t j = begin; j < end; j += height) {
        const std::int64_t used = std::min(height, end - j);
        if (j + used < end)
          prefetch(std::min(height, end - j - used), length, w + (j + used) * depth + p, depth);
        else if (p + length < depth)
          prefetch(std::min(height, end - begin), std::min(many_depth, depth - p - length),
                   w + begin * depth + p + length, depth);
        std::int64_t row = 0;
        for (const SweptForm<T>& form : forms) {
          const Piece<T> piece = applied(form.function, w + j * depth + p, depth, used, length, room);
          for (const SweptProduct<T>& product : form.products) {
            for (std::int64_t r = 0; r < padded(product.rows); r += panel) {
              const std::int64_t width = std::min(panel, padded(product.rows) - r);
              kernels.at(used, width / lanes)(length, piece.data, piece.stride, 1,
                                              panels + (row + r) * depth + p * width, width,
                                              sums + (j - begin) * all_rows + row + r, all_rows, p > 0);
            }
            row += padded(product.rows);
          }
        }
      }
    }
    const T* sum = sums;
    for (const SweptForm<T>& form : forms)
      for (const SweptProduct<T>& product : form.products) {
        for (std::int64_t i = 0; i < product.rows; ++i)
          for (std::int64_t j = begin; j < end; ++j)
            product.y[i * product.y_row + j * product.y_column] = sum[(j - begin) * all_rows + i];
        sum += padded(product.rows);
      }
  });
}

/// The weight is [depth, columns], taken in strips of columns; rows of x are contiguous.
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
              kernels.at(height, used / lanes)(steps, product.x + i * product.x_row + p, product.x_row, 1,
                                               right, c < whole ? piece.stride : lanes, to, padded, p > 0);
              to += height * padded;
            }
        }
        for (const SweptProduct<T>& product : form.products) sum += product.rows * padded;
      }
    }
    const T* sum = sums;
    for (const SweptForm<T>& form : forms)
      for (const SweptProduct<T>& product : form.products)
        for (std::int64_t i = 0; i < product.rows; ++i, sum += padded) store(product, i, begin, width, sum);
  });
}

}  // namespace

bool sweeps(bool transposed) {
  return transposed ? few_path.open() || many_path.open() : strips_path.open();
}

bool sweeps_functions() {
  return applied_path.open();
}

template <class T>
void sweep(bool transposed, std::int64_t columns, std::int64_t depth, const T* w,
           std::span<const SweptForm<T>> forms) {
  if (std::ranges::any_of(forms, [](const SweptForm<T>& form) { return form.function != nullptr; }))
    applied_path.taken();
  // Products with few rows of a transposed weight are swept apart, so that the bits of none depend on the
  // others.
  std::vector<SweptForm<T>> few, many;
  for (const SweptForm<T>& form : forms) {
    SweptForm<T> some_few{form.function, {}}, some_many{form.function, {}};
    for (const SweptProduct<T>& product : form.products) {
      if (product.rows * columns == 0) continue;
      if (depth == 0) {
        const std::vector<T> zeros(static_cast<std::size_t>(columns));
        for (std::int64_t i = 0; i < product.rows; ++i) store(product, i, 0, columns, zeros.data());
      } else {
        (transposed && is_few(product.rows, columns) ? some_few : some_many).products.push_back(product);
      }
    }
    if (!some_few.products.empty()) few.push_back(std::move(some_few));
    if (!some_many.products.empty()) many.push_back(std::move(some_many));
  }
  if (!few.empty()) {
    gather_rows_of_x(depth, few);
    few_path.taken();
    few_by_rows<T>(columns, depth, w, few);
  }
  if (many.empty()) return;
  if (transposed) {
    many_path.taken();
    return many_by_rows<T>(columns, depth, w, many);  // copies x anyway
  }
  gather_rows_of_x(depth, many);
  strips_path.taken();
  by_strips<T>(columns, depth, w, many);
}

template void sweep(bool, std::int64_t, std::int64_t, const float*, std::span<const SweptForm<float>>);
template void sweep(bool, std::int64_t, std::int64_t, const double*, std::span<const SweptForm<double>>);

}  // namespace rulegrad::kernels
