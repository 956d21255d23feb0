#pragma once

#include <algorithm>

#include "rulegrad/support/error.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/elementwise/elementwise_loops.hpp"

/// Kernels of functions that work element by element, made of the function itself: `f(x)` for each element
/// type.
namespace rulegrad::kernels {

/// Rows of functions: of one value (unary.cpp), of two (binary.cpp), to truths (compare.cpp).
void bind_unary(Kernels& all);
void bind_binary(Kernels& all);
void bind_comparisons(Kernels& all);

/// y = condition ? a : b, the three broadcast to y_dims; elements are words of their size (words.hpp).
template <class W>
void where(DimsView condition_dims, const bool* condition, DimsView a_dims, const W* a, DimsView b_dims,
           const W* b, DimsView y_dims, W* y);

/// y[i] = f(x[i]) for an element type.
template <class T, class F>
void map_unary(const KernelCall& call, F f) {
  map_contiguous(f, call.result.count(), call.result.as<T>(), call.operands[0].as<T>());
}

/// y = f(a, b), broadcast, for an element type.
template <class T, class F>
void map_binary(const KernelCall& call, F f) {
  const ConstView &a = call.operands[0], &b = call.operands[1];
  map_broadcast(f, a.dims, a.as<T>(), b.dims, b.as<T>(), call.result.dims, call.result.as<T>());
}

/// A function of one floating number.
template <class F>
[[nodiscard]] Kernel real_function(F f) {
  return elementwise(Access::elementwise, [f](const KernelCall& call) {
    floating(call.result.dtype, [&]<class T>(T) { map_unary<T>(call, f); });
  });
}

/// The same of whole numbers, too.
template <class F>
[[nodiscard]] Kernel number_function(F f) {
  return elementwise(Access::elementwise, [f](const KernelCall& call) {
    arithmetic(call.result.dtype, [&]<class T>(T) { map_unary<T>(call, f); });
  });
}

/// A function of one floating number with constants from attributes of type A: `choose(attributes, T(),
/// apply)` calls `apply` with the function for the element type T.
template <class A, class Choose>
[[nodiscard]] Kernel real_function_of(Choose choose) {
  return elementwise(Access::elementwise, [choose](const KernelCall& call) {
    floating(call.result.dtype, [&]<class T>(T type) {
      choose(call.attributes.as<A>(), type, [&](auto f) { map_unary<T>(call, f); });
    });
  });
}

/// A function of two floating numbers, broadcast.
template <class F>
[[nodiscard]] Kernel real_pairs(F f) {
  return elementwise(Access::broadcast, [f](const KernelCall& call) {
    floating(call.result.dtype, [&]<class T>(T) { map_binary<T>(call, f); });
  });
}

/// The same of whole numbers, too.
template <class F>
[[nodiscard]] Kernel number_pairs(F f) {
  return elementwise(Access::broadcast, [f](const KernelCall& call) {
    arithmetic(call.result.dtype, [&]<class T>(T) { map_binary<T>(call, f); });
  });
}

/// One that divides: a whole divisor of 0 is an error.
template <class F>
[[nodiscard]] Kernel dividing_pairs(F f) {
  return elementwise(Access::broadcast, [f](const KernelCall& call) {
    arithmetic(call.result.dtype, [&]<class T>(T) {
      if constexpr (std::is_integral_v<T>) {
        const ConstView& b = call.operands[1];
        const T* const end = b.as<T>() + b.count();
        if (call.result.count() > 0 && std::find(b.as<T>(), end, T(0)) != end)
          throw Error(ErrorCode::invalid_argument, "[div] an integer divisor is 0");
      }
      map_binary<T>(call, f);
    });
  });
}

}  // namespace rulegrad::kernels
