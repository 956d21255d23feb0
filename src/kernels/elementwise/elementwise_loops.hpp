#pragma once

#include <array>
#include <cstdint>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"
#include "kernels/common/xt.hpp"

namespace rulegrad::kernels {

/// y[i] = f(in[i]...) over contiguous arrays. xtensor's linear assignment of adapted memory is as fast as a
/// loop here (and only here: it is 11 to 55 times slower on broadcasts, so those have loops of their own
/// below).
template <class F, class Y, class... In>
void map_contiguous(F f, std::int64_t count, Y* y, const In*... in) {
  parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::size_t>(end - begin);
    const std::array<std::size_t, 1> shape{size};
    auto out = xt::adapt(y + begin, size, xt::no_ownership(), shape);
    const auto value =
        xt::make_lambda_xfunction(F(f), xt::adapt(in + begin, size, xt::no_ownership(), shape)...);
    vectorised([&] { xt::noalias(out) = value; });
  });
}

template <bool a_moves, bool b_moves, class F, class Y, class A>
void map_row(F f, std::int64_t length, Y* y, const A* a, const A* b) {
#pragma omp simd
  for (std::int64_t i = 0; i < length; ++i) y[i] = f(a[a_moves ? i : 0], b[b_moves ? i : 0]);
}

/// y = f(a, b), broadcast. As xtensor expressions these make an analysis up to 1.5 times as long
/// (benchmarks/kernel_worth).
template <class F, class Y, class A>
void map_broadcast(F f, DimsView a_dims, const A* a, DimsView b_dims, const A* b, DimsView y_dims, Y* y) {
  const std::int64_t count = count_of(y_dims);
  if (count == 0) return;
  const auto walk = broadcast_walk<2>(y_dims, {a_dims, b_dims});
  const bool a_moves = walk.stride[0][walk.rank - 1] != 0, b_moves = walk.stride[1][walk.rank - 1] != 0;
  if (walk.rank == 1 && a_moves && b_moves) return map_contiguous(f, count, y, a, b);
  parallel_chunks(count, grain_size, [&](std::int64_t begin, std::int64_t end) {
    vectorised([&] {
      for_each_row(walk, begin, end,
                   [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 2>& from) {
                     const A* const left = a + from[0];
                     const A* const right = b + from[1];
                     if (a_moves && b_moves)
                       map_row<true, true>(f, length, y + at, left, right);
                     else if (a_moves)
                       map_row<true, false>(f, length, y + at, left, right);
                     else if (b_moves)
                       map_row<false, true>(f, length, y + at, left, right);
                     else
                       map_row<false, false>(f, length, y + at, left, right);
                   });
    });
  });
}

}  // namespace rulegrad::kernels
