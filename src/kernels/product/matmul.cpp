#include "kernels/product/matmul.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/product/tiled_product.hpp"

namespace rulegrad::kernels {
namespace {

// Without it an analysis takes 2.0 times as long on two threads, 1.14 on one (MLP, batch 256): benchmarks/kernel_worth.
const KernelPath tiles_path("matmul: tiles");
// Stays: as above, of attention, on several threads; 1.11 times as long without on one (encoder, lxt.attn_lrp, batch 1).
const KernelPath transposed_path("matmul: tiles, the left operand transposed");
// Stays: more rows than a sweep takes, of functions of large weights that need not be stored; no longer without.
const KernelPath function_path("matmul: tiles of a function of the weight");
// Without it an analysis takes 3.7 times as long (MLP, gradient, batch 1): benchmarks/kernel_worth.
const KernelPath thin_path("matmul: the right operand swept past thin rows");

/// Products op(a) op(b) [m, n] over a depth of k, one for each pair of offsets of its operands.
template <class T>
struct Products {
  bool transpose_a, transpose_b;
  std::int64_t m, n, k;
  const T* a;
  const T* b;
  T* c;
  std::vector<std::int64_t> a_offset{0}, b_offset{0};
  const ElementFunction<T>* function = nullptr;  ///< of b

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(a_offset.size()); }
};

/// Rows [p0, p1) x columns [c0, c1) of op(b), as tiled_product asks for them.
template <class T>
void pack(const T* b, bool transposed, std::int64_t n, std::int64_t k, std::int64_t p0, std::int64_t p1,
          std::int64_t c0, std::int64_t c1, std::int64_t width, T* panel) {
  const std::int64_t used = c1 - c0;
  vectorised([&] {
    if (!transposed) {
      for (std::int64_t p = p0; p < p1; ++p, panel += width) {
        const T* const row = b + p * n + c0;
        for (std::int64_t c = 0; c < used; ++c) panel[c] = row[c];
        for (std::int64_t c = used; c < width; ++c) panel[c] = T(0);
      }
      return;
    }
    // A cache line of each row of b at a time.
    constexpr std::int64_t line = 16;
    for (std::int64_t q = p0; q < p1; q += line)
      for (std::int64_t p = q; p < std::min(p1, q + line); ++p, panel += width) {
        const T* const column = b + c0 * k + p;
        for (std::int64_t c = 0; c < used; ++c) panel[c] = column[c * k];
        for (std::int64_t c = used; c < width; ++c) panel[c] = T(0);
      }
  });
}

template <class T>
void by_tiles(const Products<T>& p) {
  (p.transpose_a ? transposed_path : p.function == nullptr ? tiles_path : function_path).taken();
  const LeftStrides left = p.transpose_a ? LeftStrides{1, p.m} : LeftStrides{p.k};
  const auto b_of = [&](std::int64_t product) { return p.b + p.b_offset[static_cast<std::size_t>(product)]; };
  tiled_product<T>(
      ProductExtents{p.count(), p.m, p.n, p.k, 1}, left,
      [&](std::int64_t product, std::int64_t) { return p.a + p.a_offset[static_cast<std::size_t>(product)]; },
      [&](std::int64_t product, std::int64_t, std::int64_t p0, std::int64_t p1, std::int64_t c0,
          std::int64_t c1, std::int64_t width, T* panel) {
        pack(b_of(product), p.transpose_b, p.n, p.k, p0, p1, c0, c1, width, panel);
        if (p.function != nullptr) (*p.function)((p1 - p0) * width, panel, panel);
      },
      [&](std::int64_t product, std::int64_t r0, std::int64_t r1, std::int64_t c0, std::int64_t c1,
          const T* tile, std::int64_t stride) {
        for (std::int64_t r = r0; r < r1; ++r) {
          const T* const from = tile + (r - r0) * stride;
          T* const to = p.c + (product * p.m + r) * p.n + c0;
          std::copy_n(from, c1 - c0, to);
        }
      });
}

/// Few rows: what it costs is reading the other operand, which is swept past them.
template <class T>
bool is_swept(const Products<T>& p) {
  return thin_path.open() && sweeps(p.transpose_b) && p.count() == 1 && !p.transpose_a && p.m <= thin_rows &&
         p.n > p.m;
}

template <class T>
void by_sweep(const Products<T>& p) {
  thin_path.taken();
  const SweptForm<T> form{nullptr, {{p.m, p.a + p.a_offset[0], p.c}}};
  sweep<T>(p.transpose_b, p.n, p.k, p.b + p.b_offset[0], {&form, 1});
}

template <class T>
void run(const Products<T>& p) {
  if (p.count() * p.m * p.n == 0) return;
  if (p.k == 0)
    std::fill_n(p.c, p.count() * p.m * p.n, T(0));
  else if (is_swept(p))
    by_sweep(p);
  else
    by_tiles(p);
}

}  // namespace

bool multiplies() {
  return tiles_path.open();
}

bool multiplies_functions() {
  return function_path.open();
}

template <class T>
void product_of_function(bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                         const T* b, const ElementFunction<T>* f, T* c) {
  Products<T> p{false, transpose_b, m, n, k, a, b, c};
  p.function = f;
  if (f == nullptr)
    run(p);
  else
    by_tiles(p);
}

template <class T>
void matmul(DimsView a_dims, const T* a, bool transpose_a, DimsView b_dims, const T* b, bool transpose_b,
            DimsView y_dims, T* y) {
  if (a_dims.empty() || b_dims.empty()) throw Error(ErrorCode::shape, "[matmul] an operand has no axes");
  const bool row = a_dims.size() == 1, column = b_dims.size() == 1;
  const std::size_t ra = a_dims.size(), rb = b_dims.size();
  Products<T> p{!row && transpose_a, !column && transpose_b, 1, 1, a_dims[ra - 1], a, b, y, {}, {}};
  if (!row) {
    p.m = a_dims[p.transpose_a ? ra - 1 : ra - 2];
    p.k = a_dims[p.transpose_a ? ra - 2 : ra - 1];
  }
  if (!column) p.n = b_dims[p.transpose_b ? rb - 2 : rb - 1];
  const DimsView a_batch = a_dims.first(row ? 0 : ra - 2), b_batch = b_dims.first(column ? 0 : rb - 2);
  const std::int64_t a_count = count_of(a_batch);
  if (count_of(b_batch) == 1 && !p.transpose_a && a_count * p.m * p.n == count_of(y_dims)) {
    p.m *= a_count;  // one matrix on the right: the rows of all on the left are one matrix too
    p.a_offset = p.b_offset = {0};
    return run(p);
  }
  const DimsView y_batch = y_dims.first(y_dims.size() - (row ? 0 : 1) - (column ? 0 : 1));
  const auto walk = broadcast_walk<2>(y_batch, {a_batch, b_batch});
  for_each_row(walk, 0, count_of(y_batch),
               [&](std::int64_t, std::int64_t length, const std::array<std::int64_t, 2>& offset) {
                 for (std::int64_t i = 0; i < length; ++i) {
                   p.a_offset.push_back((offset[0] + i * walk.stride[0][walk.rank - 1]) * p.m * p.k);
                   p.b_offset.push_back((offset[1] + i * walk.stride[1][walk.rank - 1]) * p.k * p.n);
                 }
               });
  run(p);
}

template void product_of_function(bool, std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                                  const ElementFunction<float>*, float*);
template void product_of_function(bool, std::int64_t, std::int64_t, std::int64_t, const double*,
                                  const double*, const ElementFunction<double>*, double*);
template void matmul(DimsView, const float*, bool, DimsView, const float*, bool, DimsView, float*);
template void matmul(DimsView, const double*, bool, DimsView, const double*, bool, DimsView, double*);

}  // namespace rulegrad::kernels
