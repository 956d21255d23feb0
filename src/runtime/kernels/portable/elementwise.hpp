#pragma once

#include <cstdint>

#include "runtime/kernels/portable/dims.hpp"

namespace rulegrad::kernels {

/// Functions of one value. NaN stays NaN in all of them but sign (sign(NaN) = 0).
enum class Unary : std::uint8_t {
  relu,        ///< max(x, 0)
  leaky_relu,  ///< x < 0 ? alpha x : x
  elu,         ///< x < 0 ? alpha (e^x - 1) : x
  selu,        ///< gamma (x < 0 ? alpha (e^x - 1) : x)
  gelu,        ///< x (1 + erf(x / sqrt 2)) / 2
  gelu_tanh,   ///< x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  silu,        ///< x sigmoid(x)
  sigmoid,     ///< 1 / (1 + e^-x), without overflow on either side
  tanh,
  softplus,     ///< log(1 + e^x), without overflow
  hardswish,    ///< x clip(x / 6 + 1 / 2, 0, 1)
  hardsigmoid,  ///< clip(alpha x + beta, 0, 1)
  clip,         ///< min(max(x, alpha), beta)
  erf,
  exp,
  log,
  sqrt,
  abs,
  neg,
  sign,  ///< -1, 0, 1; sign(0) = sign(-0) = 0
  reciprocal,
  floor,
  ceil,
  round,  ///< to the nearest integer, halves to the even one
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  asinh,
  acosh,
  atanh,
  stabilize,  ///< x + alpha (x < 0 ? -1 : 1): sgn(0) = sgn(-0) = +1
};

/// The constants of a Unary that has some.
struct UnaryParameters {
  double alpha = 0, beta = 0, gamma = 0;
};

/// y[i] = op(x[i]) for T = float and double; for std::int32_t and std::int64_t only relu, clip, abs, neg and
/// sign (anything else throws Error(dtype)). y may be x.
template <class T>
void unary(Unary op, UnaryParameters parameters, std::int64_t count, const T* x, T* y);

/// y[i] = !x[i]
void logical_not(std::int64_t count, const bool* x, bool* y);

/// Functions of two values.
enum class Binary : std::uint8_t {
  add,
  sub,
  mul,
  div,  ///< integers: truncated; throws Error(invalid_argument) on a divisor 0
  pow,
  max,   ///< NaN if either is
  min,   ///< NaN if either is
  mod,   ///< the remainder with the sign of the divisor (Python); divisor 0 as in div
  fmod,  ///< the remainder with the sign of the dividend (C); divisor 0 as in div
  over,  ///< a / b, and 0 where b is exactly 0; floating only
};

/// y = op(a, b) with a and b broadcast (NumPy) to y_dims. T = float, double, std::int32_t, std::int64_t.
/// y may be an operand of the same dims.
template <class T>
void binary(Binary op, DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y);

enum class Comparison : std::uint8_t { equal, not_equal, less, greater, less_equal, greater_equal };

/// The same for comparisons: false when either is NaN, but not_equal. T = float, double, std::int32_t,
/// std::int64_t, std::uint8_t, std::int8_t, bool.
template <class T>
void compare(Comparison op, DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims,
             bool* y);

enum class Logical : std::uint8_t { logical_and, logical_or, logical_xor };

void logical(Logical op, DimsView a_dims, const bool* a, DimsView b_dims, const bool* b, DimsView y_dims,
             bool* y);

/// y = condition ? a : b, the three broadcast to y_dims. All seven element types.
template <class T>
void where(DimsView condition_dims, const bool* condition, DimsView a_dims, const T* a, DimsView b_dims,
           const T* b, DimsView y_dims, T* y);

}  // namespace rulegrad::kernels
