#include <algorithm>
#include <type_traits>

#include "rulegrad/error.hpp"

#include "runtime/kernels/portable/elementwise.hpp"
#include "runtime/kernels/portable/elementwise_loops.hpp"
#include "runtime/kernels/portable/functions.hpp"

namespace rulegrad::kernels {

template <class T>
void binary(Binary op, DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y) {
  const auto apply = [&](auto f) { map_broadcast(f, a_dims, a, b_dims, b, y_dims, y); };
  if constexpr (std::is_integral_v<T>) {
    const bool divides = op == Binary::div || op == Binary::mod || op == Binary::fmod;
    if (divides && count_of(y_dims) > 0 && std::find(b, b + count_of(b_dims), T(0)) != b + count_of(b_dims))
      throw Error(ErrorCode::invalid_argument, "[div] an integer divisor is 0");
  }
  switch (op) {
    case Binary::add:
      return apply(fn::Add{});
    case Binary::sub:
      return apply(fn::Sub{});
    case Binary::mul:
      return apply(fn::Mul{});
    case Binary::div:
      return apply(fn::Div{});
    case Binary::pow:
      return apply(fn::Pow{});
    case Binary::max:
      return apply(fn::Max{});
    case Binary::min:
      return apply(fn::Min{});
    case Binary::mod:
      return apply(fn::Mod{});
    case Binary::fmod:
      return apply(fn::Fmod{});
    case Binary::over:
      if constexpr (std::is_floating_point_v<T>) return apply(fn::Over{});
      throw Error(ErrorCode::dtype, "[over] is defined for float32 and float64 only: cast first");
  }
}

void logical(Logical op, DimsView a_dims, const bool* a, DimsView b_dims, const bool* b, DimsView y_dims,
             bool* y) {
  const auto apply = [&](auto f) { map_broadcast(f, a_dims, a, b_dims, b, y_dims, y); };
  switch (op) {
    case Logical::logical_and:
      return apply([](bool p, bool q) { return p && q; });
    case Logical::logical_or:
      return apply([](bool p, bool q) { return p || q; });
    case Logical::logical_xor:
      return apply([](bool p, bool q) { return p != q; });
  }
}

template void binary(Binary, DimsView, const float*, DimsView, const float*, DimsView, float*);
template void binary(Binary, DimsView, const double*, DimsView, const double*, DimsView, double*);
template void binary(Binary, DimsView, const std::int32_t*, DimsView, const std::int32_t*, DimsView,
                     std::int32_t*);
template void binary(Binary, DimsView, const std::int64_t*, DimsView, const std::int64_t*, DimsView,
                     std::int64_t*);

}  // namespace rulegrad::kernels
