#include <vector>

#include "kernels/common/words.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rulegrad::kernels {
namespace {

template <bool a_moves, bool b_moves, class T>
void select_row(std::int64_t length, T* y, const bool* c, bool c_moves, const T* a, const T* b) {
  if (c_moves) {
    // As bytes: g++ 12 makes no vectors of bool.
    const auto* const bytes = reinterpret_cast<const unsigned char*>(c);
#pragma omp simd
    for (std::int64_t i = 0; i < length; ++i) {
      // Both are read, so that nothing branches.
      const T left = a[a_moves ? i : 0], right = b[b_moves ? i : 0];
      y[i] = bytes[i] != 0 ? left : right;
    }
  } else {
    const bool take = *c;
#pragma omp simd
    for (std::int64_t i = 0; i < length; ++i) y[i] = take ? a[a_moves ? i : 0] : b[b_moves ? i : 0];
  }
}

/// The elements as int64.
std::vector<std::int64_t> widened(const ConstView& x) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(x.count()));
  dispatch(x.dtype, [&]<class T>(T) {
    const T* const from = x.as<T>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int64_t>(from[i]);
  });
  return values;
}

/// A comparison, false when either is NaN, but not_equal; of all element types. Whole numbers are compared as
/// int64, whatever their width: they are few, and each type more is a loop more for every comparison and
/// every instruction set. With `swapped` it is b that is compared with a.
template <class F>
Kernel comparing(F f, bool swapped = false) {
  return elementwise(Access::broadcast, [f, swapped](const KernelCall& call) {
    const ConstView &a = call.operands[swapped ? 1 : 0], &b = call.operands[swapped ? 0 : 1];
    bool* const y = call.result.as<bool>();
    if (is_floating(a.dtype))
      return floating(a.dtype, [&]<class T>(T) {
        map_broadcast(f, a.dims, a.as<T>(), b.dims, b.as<T>(), call.result.dims, y);
      });
    const std::vector<std::int64_t> left = widened(a), right = widened(b);
    map_broadcast(f, a.dims, left.data(), b.dims, right.data(), call.result.dims, y);
  });
}

/// A function of two truths.
template <class F>
Kernel logical(F f) {
  return elementwise(Access::broadcast, [f](const KernelCall& call) { map_binary<bool>(call, f); });
}

}  // namespace

void bind_comparisons(Kernels& all) {
  all.set("equal", comparing([]<class T>(T a, T b) { return a == b; }));
  all.set("not_equal", comparing([]<class T>(T a, T b) { return a != b; }));
  const auto less = []<class T>(T a, T b) { return a < b; };
  const auto less_equal = []<class T>(T a, T b) { return a <= b; };
  all.set("less", comparing(less));
  all.set("greater", comparing(less, true));
  all.set("less_equal", comparing(less_equal));
  all.set("greater_equal", comparing(less_equal, true));
  all.set("logical_and", logical([](bool a, bool b) { return a && b; }));
  all.set("logical_or", logical([](bool a, bool b) { return a || b; }));
  all.set("logical_not", elementwise(Access::elementwise, [](const KernelCall& call) {
            map_unary<bool>(call, [](bool x) { return !x; });
          }));
}

template <class W>
void where(DimsView condition_dims, const bool* condition, DimsView a_dims, const W* a, DimsView b_dims,
           const W* b, DimsView y_dims, W* y) {
  const std::int64_t count = count_of(y_dims);
  if (count == 0) return;
  const auto walk = broadcast_walk<3>(y_dims, {condition_dims, a_dims, b_dims});
  const std::size_t last = walk.rank - 1;
  const bool c_moves = walk.stride[0][last] != 0, a_moves = walk.stride[1][last] != 0,
             b_moves = walk.stride[2][last] != 0;
  parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
    vectorised([&] {
      for_each_row(walk, begin, end,
                   [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 3>& from) {
                     const bool* const c = condition + from[0];
                     const W* const left = a + from[1];
                     const W* const right = b + from[2];
                     if (a_moves && b_moves)
                       select_row<true, true>(length, y + at, c, c_moves, left, right);
                     else if (a_moves)
                       select_row<true, false>(length, y + at, c, c_moves, left, right);
                     else if (b_moves)
                       select_row<false, true>(length, y + at, c, c_moves, left, right);
                     else
                       select_row<false, false>(length, y + at, c, c_moves, left, right);
                   });
    });
  });
}

#define RULEGRAD_FOR_WORD(W) \
  template void where(DimsView, const bool*, DimsView, const W*, DimsView, const W*, DimsView, W*);
RULEGRAD_FOR_WORD(Word8)
RULEGRAD_FOR_WORD(Word32)
RULEGRAD_FOR_WORD(Word64)
#undef RULEGRAD_FOR_WORD

}  // namespace rulegrad::kernels
