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

/// A comparison, false when either is NaN, but not_equal; of all element types.
template <class F>
Kernel comparing(F f) {
  return elementwise(Access::broadcast, [f](const KernelCall& call) {
    const ConstView &a = call.operands[0], &b = call.operands[1];
    dispatch(a.dtype, [&]<class T>(T) {
      map_broadcast(f, a.dims, a.as<T>(), b.dims, b.as<T>(), call.result.dims, call.result.as<bool>());
    });
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
  all.set("less", comparing([]<class T>(T a, T b) { return a < b; }));
  all.set("greater", comparing([]<class T>(T a, T b) { return a > b; }));
  all.set("less_equal", comparing([]<class T>(T a, T b) { return a <= b; }));
  all.set("greater_equal", comparing([]<class T>(T a, T b) { return a >= b; }));
  all.set("logical_and", logical([](bool a, bool b) { return a && b; }));
  all.set("logical_or", logical([](bool a, bool b) { return a || b; }));
  all.set("logical_not", elementwise(Access::elementwise, [](const KernelCall& call) {
            map_unary<bool>(call, [](bool x) { return !x; });
          }));
}

template <class T>
void where(DimsView condition_dims, const bool* condition, DimsView a_dims, const T* a, DimsView b_dims,
           const T* b, DimsView y_dims, T* y) {
  const std::int64_t count = count_of(y_dims);
  if (count == 0) return;
  const auto walk = broadcast_walk<3>(y_dims, {condition_dims, a_dims, b_dims});
  const std::size_t last = walk.rank - 1;
  const bool c_moves = walk.stride[0][last] != 0, a_moves = walk.stride[1][last] != 0,
             b_moves = walk.stride[2][last] != 0;
  parallel_chunks(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    vectorised([&] {
      for_each_row(walk, begin, end,
                   [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 3>& from) {
                     const bool* const c = condition + from[0];
                     const T* const left = a + from[1];
                     const T* const right = b + from[2];
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

#define RULEGRAD_FOR_TYPE(T) \
  template void where(DimsView, const bool*, DimsView, const T*, DimsView, const T*, DimsView, T*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
RULEGRAD_FOR_TYPE(std::int32_t)
RULEGRAD_FOR_TYPE(std::int64_t)
RULEGRAD_FOR_TYPE(std::uint8_t)
RULEGRAD_FOR_TYPE(std::int8_t)
RULEGRAD_FOR_TYPE(bool)
#undef RULEGRAD_FOR_TYPE

}  // namespace rulegrad::kernels
