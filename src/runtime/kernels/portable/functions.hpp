#pragma once

#include <cmath>
#include <concepts>
#include <numbers>

#include "runtime/kernels/portable/vector_math.hpp"

/// The elementwise functions as plain function objects, for the kernels here and for fused loops.
namespace rulegrad::kernels::fn {

template <class T>
T sigmoid(T x) {
  // exp of a value <= 0 cannot overflow.
  const T e = fn::exp(x < T(0) ? x : -x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

struct Relu {
  template <class T>
  constexpr T operator()(T x) const {
    return x < T(0) ? T(0) : x;
  }
};
template <class T>
struct LeakyRelu {
  T alpha;
  constexpr T operator()(T x) const { return x < T(0) ? alpha * x : x; }
};
template <class T>
struct Elu {
  T alpha, gamma;
  T operator()(T x) const { return gamma * (x < T(0) ? alpha * fn::expm1(x) : x); }
};
struct Gelu {
  template <class T>
  T operator()(T x) const {
    return T(0.5) * x * (T(1) + fn::erf(x * (std::numbers::sqrt2_v<T> / 2)));
  }
};
struct GeluTanh {
  template <class T>
  T operator()(T x) const {
    constexpr T scale = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
    return T(0.5) * x * (T(1) + fn::tanh(scale * (x + T(0.044715) * x * x * x)));
  }
};
struct Silu {
  template <class T>
  T operator()(T x) const {
    return x * sigmoid(x);
  }
};
struct Sigmoid {
  template <class T>
  T operator()(T x) const {
    return sigmoid(x);
  }
};
struct Softplus {
  template <class T>
  T operator()(T x) const {
    return (x < T(0) ? T(0) : x) + fn::log1p_of_unit(fn::exp(x < T(0) ? x : -x));
  }
};
/// Order of the tests lets NaN through.
template <class T>
struct Clip {
  T low, high;
  constexpr T operator()(T x) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
};
template <class T>
struct HardSigmoid {
  T alpha, beta;
  constexpr T operator()(T x) const { return Clip<T>{T(0), T(1)}(alpha * x + beta); }
};
struct HardSwish {
  template <class T>
  constexpr T operator()(T x) const {
    return x * Clip<T>{T(0), T(1)}(x / T(6) + T(0.5));
  }
};
struct Tanh {
  template <class T>
  T operator()(T x) const {
    return fn::tanh(x);
  }
};
struct Erf {
  template <class T>
  T operator()(T x) const {
    return fn::erf(x);
  }
};
struct Exp {
  template <class T>
  T operator()(T x) const {
    return fn::exp(x);
  }
};
struct Log {
  template <class T>
  T operator()(T x) const {
    return std::log(x);
  }
};
struct Sqrt {
  template <class T>
  T operator()(T x) const {
    return std::sqrt(x);
  }
};
struct Abs {
  template <class T>
  constexpr T operator()(T x) const {
    if constexpr (std::floating_point<T>) return std::abs(x);
    return static_cast<T>(x < T(0) ? T(0) - x : x);
  }
};
struct Neg {
  template <class T>
  constexpr T operator()(T x) const {
    return static_cast<T>(-x);
  }
};
struct Sign {
  template <class T>
  constexpr T operator()(T x) const {
    return static_cast<T>((x > T(0) ? T(1) : T(0)) - (x < T(0) ? T(1) : T(0)));
  }
};
struct Reciprocal {
  template <class T>
  constexpr T operator()(T x) const {
    return T(1) / x;
  }
};
struct Floor {
  template <class T>
  T operator()(T x) const {
    return std::floor(x);
  }
};
struct Ceil {
  template <class T>
  T operator()(T x) const {
    return std::ceil(x);
  }
};
struct Round {
  template <class T>
  T operator()(T x) const {
    return std::nearbyint(x);
  }
};
struct Sin {
  template <class T>
  T operator()(T x) const {
    return std::sin(x);
  }
};
struct Cos {
  template <class T>
  T operator()(T x) const {
    return std::cos(x);
  }
};
struct Tan {
  template <class T>
  T operator()(T x) const {
    return std::tan(x);
  }
};
struct Asin {
  template <class T>
  T operator()(T x) const {
    return std::asin(x);
  }
};
struct Acos {
  template <class T>
  T operator()(T x) const {
    return std::acos(x);
  }
};
struct Atan {
  template <class T>
  T operator()(T x) const {
    return std::atan(x);
  }
};
struct Sinh {
  template <class T>
  T operator()(T x) const {
    return std::sinh(x);
  }
};
struct Cosh {
  template <class T>
  T operator()(T x) const {
    return std::cosh(x);
  }
};
struct Asinh {
  template <class T>
  T operator()(T x) const {
    return std::asinh(x);
  }
};
struct Acosh {
  template <class T>
  T operator()(T x) const {
    return std::acosh(x);
  }
};
struct Atanh {
  template <class T>
  T operator()(T x) const {
    return std::atanh(x);
  }
};
template <class T>
struct Stabilize {
  T epsilon;
  constexpr T operator()(T x) const { return x + (x < T(0) ? -epsilon : epsilon); }
};

struct Add {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct Sub {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(a - b);
  }
};
struct Mul {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(a * b);
  }
};
struct Div {
  template <class T>
  constexpr T operator()(T a, T b) const {
    if constexpr (std::integral<T>)
      if (b == T(-1))
        return static_cast<T>(T(0) - a);  // the smallest integer has no positive twin: do not trap
    return static_cast<T>(a / b);
  }
};
struct Pow {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(std::pow(a, b));
  }
};
struct Max {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Min {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};
struct Mod {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::integral<T>) {
      if (b == T(-1)) return T(0);
      const T rest = static_cast<T>(a % b);
      return static_cast<T>(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    } else {
      const T rest = std::fmod(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
  }
};
struct Fmod {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::integral<T>)
      return b == T(-1) ? T(0) : static_cast<T>(a % b);
    else
      return std::fmod(a, b);
  }
};
struct Over {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return b == T(0) ? T(0) : a / (b == T(0) ? T(1) : b);
  }
};

}  // namespace rulegrad::kernels::fn
