#include <cmath>
#include <concepts>
#include <limits>
#include <numbers>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/vector_math.hpp"

namespace rulegrad::kernels {
namespace {

/// Without overflow on either side: exp of a value <= 0.
template <class T>
T sigmoid(T x) {
  const T e = fn::exp(x < T(0) ? x : -x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

/// The order of the tests lets NaN through.
template <class T>
struct Clip {
  T low, high;
  constexpr T operator()(T x) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
};

template <class T>
struct Elu {
  T alpha, gamma;
  T operator()(T x) const { return gamma * (x < T(0) ? alpha * fn::expm1(x) : x); }
};

/// A bound as the type has it; for integers, those beyond its range do not bound.
template <class T>
T bound(double value) {
  if constexpr (std::floating_point<T>) return static_cast<T>(value);
  constexpr T low = std::numeric_limits<T>::lowest(), high = std::numeric_limits<T>::max();
  if (value <= static_cast<double>(low)) return low;
  if (value >= static_cast<double>(high)) return high;
  return static_cast<T>(value);
}

}  // namespace

/// A row for each function of one value. NaN stays NaN in all of them but sign (sign(NaN) = 0).
void bind_unary(Kernels& all) {
  all.set("relu", number_function([]<class T>(T x) { return x < T(0) ? T(0) : x; }));
  all.set("silu", real_function([]<class T>(T x) { return x * sigmoid(x); }));
  all.set("sigmoid", real_function([]<class T>(T x) { return sigmoid(x); }));
  all.set("tanh", real_function([]<class T>(T x) { return fn::tanh(x); }));
  all.set("softplus", real_function([]<class T>(T x) {
            return (x < T(0) ? T(0) : x) + fn::log1p_of_unit(fn::exp(x < T(0) ? x : -x));
          }));
  all.set("hardswish", real_function([]<class T>(T x) {
            return x * Clip<T>{T(0), T(1)}(x / T(6) + T(0.5));
          }));
  all.set("softsign", real_function([]<class T>(T x) { return x / (T(1) + std::abs(x)); }));
  // tanh(log(1 + e^x)) = ((1 + e^x)^2 - 1) / ((1 + e^x)^2 + 1), of the exponential that is at most 1.
  all.set("mish", real_function([]<class T>(T x) {
            const T e = fn::exp(x < T(0) ? x : -x), n = x < T(0) ? e * (e + T(2)) : T(1) + T(2) * e;
            return x * (n / (n + (x < T(0) ? T(2) : T(2) * e * e)));
          }));
  all.set("erf", real_function([]<class T>(T x) { return fn::erf(x); }));
  all.set("exp", real_function([]<class T>(T x) { return fn::exp(x); }));
  all.set("log", real_function([]<class T>(T x) { return std::log(x); }));
  all.set("sqrt", real_function([]<class T>(T x) { return std::sqrt(x); }));
  all.set("abs", number_function([]<class T>(T x) {
            if constexpr (std::floating_point<T>) return std::abs(x);
            return static_cast<T>(x < T(0) ? T(0) - x : x);
          }));
  all.set("neg", number_function([]<class T>(T x) { return static_cast<T>(-x); }));
  all.set("sign", number_function([]<class T>(T x) {
            return static_cast<T>((x > T(0) ? T(1) : T(0)) - (x < T(0) ? T(1) : T(0)));
          }));
  all.set("reciprocal", real_function([]<class T>(T x) { return T(1) / x; }));
  all.set("floor", real_function([]<class T>(T x) { return std::floor(x); }));
  all.set("ceil", real_function([]<class T>(T x) { return std::ceil(x); }));
  // To the nearest integer, halves to the even one.
  all.set("round", real_function([]<class T>(T x) { return std::nearbyint(x); }));
  all.set("round_through", real_function([]<class T>(T x) { return std::nearbyint(x); }));
  all.set("sin", real_function([]<class T>(T x) { return std::sin(x); }));
  all.set("cos", real_function([]<class T>(T x) { return std::cos(x); }));
  all.set("tan", real_function([]<class T>(T x) { return std::tan(x); }));
  all.set("asin", real_function([]<class T>(T x) { return std::asin(x); }));
  all.set("acos", real_function([]<class T>(T x) { return std::acos(x); }));
  all.set("atan", real_function([]<class T>(T x) { return std::atan(x); }));
  all.set("sinh", real_function([]<class T>(T x) { return std::sinh(x); }));
  all.set("cosh", real_function([]<class T>(T x) { return std::cosh(x); }));
  all.set("asinh", real_function([]<class T>(T x) { return std::asinh(x); }));
  all.set("acosh", real_function([]<class T>(T x) { return std::acosh(x); }));
  all.set("atanh", real_function([]<class T>(T x) { return std::atanh(x); }));

  all.set("leaky_relu", real_function_of<LeakyReluAttributes>([]<class T>(const auto& a, T, auto apply) {
            apply([alpha = static_cast<T>(a.alpha)](T x) { return x < T(0) ? alpha * x : x; });
          }));
  all.set("elu", real_function_of<EluAttributes>([]<class T>(const auto& a, T, auto apply) {
            apply(Elu<T>{static_cast<T>(a.alpha), T(1)});
          }));
  all.set("selu", real_function_of<SeluAttributes>([]<class T>(const auto& a, T, auto apply) {
            apply(Elu<T>{static_cast<T>(a.alpha), static_cast<T>(a.gamma)});
          }));
  all.set(
      "gelu", real_function_of<GeluAttributes>([]<class T>(const auto& a, T, auto apply) {
        constexpr T scale = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
        if (a.approximate == GeluForm::tanh)
          apply([](T x) { return T(0.5) * x * (T(1) + fn::tanh(scale * (x + T(0.044715) * x * x * x))); });
        else
          apply([](T x) { return T(0.5) * x * (T(1) + fn::erf(x * (std::numbers::sqrt2_v<T> / 2))); });
      }));
  all.set("quick_gelu", real_function_of<QuickGeluAttributes>([]<class T>(const auto& a, T, auto apply) {
            apply([alpha = static_cast<T>(a.alpha)](T x) { return x * sigmoid(alpha * x); });
          }));
  all.set("hardsigmoid", real_function_of<HardsigmoidAttributes>([]<class T>(const auto& a, T, auto apply) {
            apply([alpha = static_cast<T>(a.alpha), beta = static_cast<T>(a.beta)](T x) {
              return Clip<T>{T(0), T(1)}(alpha * x + beta);
            });
          }));
  all.set("clip", elementwise(Access::elementwise, [](const KernelCall& call) {
            const auto& a = call.attributes.as<ClipAttributes>();
            arithmetic(call.result.dtype, [&]<class T>(T) {
              map_unary<T>(call, Clip<T>{bound<T>(a.low), bound<T>(a.high)});
            });
          }));
}

}  // namespace rulegrad::kernels
