#include <cmath>
#include <concepts>
#include <type_traits>

#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rulegrad::kernels {
namespace {

/// Whole numbers wrap around, as files count on where they compute with bits; of signed ones C++ leaves that open.
template <class T>
auto wrapping(T x) {
  if constexpr (std::integral<T>)
    return static_cast<std::make_unsigned_t<T>>(x);
  else
    return x;
}

constexpr auto sum = []<class T>(T a, T b) { return static_cast<T>(wrapping(a) + wrapping(b)); };
constexpr auto difference = []<class T>(T a, T b) { return static_cast<T>(wrapping(a) - wrapping(b)); };
constexpr auto product = []<class T>(T a, T b) { return static_cast<T>(wrapping(a) * wrapping(b)); };
// NaN if either is.
constexpr auto maximum = []<class T>(T a, T b) { return a > b || a != a ? a : b; };
constexpr auto minimum = []<class T>(T a, T b) { return a < b || a != a ? a : b; };

}  // namespace

/// A row for each function of two values, which broadcast as NumPy has it. The result may lie over an operand
/// of its dims.
void bind_binary(Kernels& all) {
  all.set("add", number_pairs(sum));
  all.set("sub", number_pairs(difference));
  all.set("mul", number_pairs(product));
  // Of integers: truncated.
  all.set("div", dividing_pairs([]<class T>(T a, T b) {
            if constexpr (std::signed_integral<T>)
              if (b == T(-1))  // the smallest integer has no positive twin, and stays what it is
                return static_cast<T>(std::make_unsigned_t<T>(0) - static_cast<std::make_unsigned_t<T>>(a));
            return static_cast<T>(a / b);
          }));
  all.set("pow", number_pairs([]<class T>(T a, T b) { return static_cast<T>(std::pow(a, b)); }));
  all.set("max", number_pairs(maximum));
  all.set("min", number_pairs(minimum));
  // The remainder with the sign of the divisor, as Python has it.
  all.set("mod", dividing_pairs([]<class T>(T a, T b) {
            T rest;
            if constexpr (std::integral<T>) {
              if (b == T(-1)) return T(0);
              rest = static_cast<T>(a % b);
            } else {
              rest = std::fmod(a, b);
            }
            return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
          }));
  // a / b, and 0 where b is exactly 0.
  all.set("over",
          real_pairs([]<class T>(T a, T b) { return b == T(0) ? T(0) : a / (b == T(0) ? T(1) : b); }));
  // x > 0 ? x : slope x.
  all.set("prelu", real_pairs([]<class T>(T x, T slope) { return x < T(0) ? slope * x : x; }));
  // z away from 0 by eps: sgn(0) = sgn(-0) = +1.
  all.set("stabilize", real_pairs([]<class T>(T z, T eps) { return z + (z < T(0) ? -eps : eps); }));
}

template <class T>
void add(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y) {
  map_broadcast(sum, a_dims, a, b_dims, b, y_dims, y);
}
template <class T>
void multiply(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y) {
  map_broadcast(product, a_dims, a, b_dims, b, y_dims, y);
}
template <class T>
void larger(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y) {
  map_broadcast(maximum, a_dims, a, b_dims, b, y_dims, y);
}
template <class T>
void smaller(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y) {
  map_broadcast(minimum, a_dims, a, b_dims, b, y_dims, y);
}

#define RULEGRAD_FOR_TYPE(T)                                                    \
  template void add(DimsView, const T*, DimsView, const T*, DimsView, T*);      \
  template void multiply(DimsView, const T*, DimsView, const T*, DimsView, T*); \
  template void larger(DimsView, const T*, DimsView, const T*, DimsView, T*);   \
  template void smaller(DimsView, const T*, DimsView, const T*, DimsView, T*);
RULEGRAD_FOR_TYPE(float)
RULEGRAD_FOR_TYPE(double)
#undef RULEGRAD_FOR_TYPE

}  // namespace rulegrad::kernels
