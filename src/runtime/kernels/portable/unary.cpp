#include <limits>
#include <type_traits>

#include "rulegrad/error.hpp"

#include "runtime/kernels/portable/elementwise.hpp"
#include "runtime/kernels/portable/elementwise_loops.hpp"
#include "runtime/kernels/portable/functions.hpp"

namespace rulegrad::kernels {
namespace {

/// A bound as an integer: those beyond its range do not bound.
template <class T>
T saturated(double value) {
  constexpr T low = std::numeric_limits<T>::lowest(), high = std::numeric_limits<T>::max();
  if (value <= static_cast<double>(low)) return low;
  if (value >= static_cast<double>(high)) return high;
  return static_cast<T>(value);
}

template <class T>
void integer_unary(Unary op, UnaryParameters p, std::int64_t count, const T* x, T* y) {
  switch (op) {
    case Unary::relu:
      return map_contiguous(fn::Relu{}, count, y, x);
    case Unary::clip:
      return map_contiguous(fn::Clip<T>{saturated<T>(p.alpha), saturated<T>(p.beta)}, count, y, x);
    case Unary::abs:
      return map_contiguous(fn::Abs{}, count, y, x);
    case Unary::neg:
      return map_contiguous(fn::Neg{}, count, y, x);
    case Unary::sign:
      return map_contiguous(fn::Sign{}, count, y, x);
    default:
      throw Error(ErrorCode::dtype,
                  "[unary] this function is defined for float32 and float64 only: cast first");
  }
}

template <class T>
void floating_unary(Unary op, UnaryParameters p, std::int64_t count, const T* x, T* y) {
  const T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta), gamma = static_cast<T>(p.gamma);
  const auto apply = [&](auto f) { map_contiguous(f, count, y, x); };
  switch (op) {
    case Unary::relu:
      return apply(fn::Relu{});
    case Unary::leaky_relu:
      return apply(fn::LeakyRelu<T>{alpha});
    case Unary::elu:
      return apply(fn::Elu<T>{alpha, T(1)});
    case Unary::selu:
      return apply(fn::Elu<T>{alpha, gamma});
    case Unary::gelu:
      return apply(fn::Gelu{});
    case Unary::gelu_tanh:
      return apply(fn::GeluTanh{});
    case Unary::silu:
      return apply(fn::Silu{});
    case Unary::sigmoid:
      return apply(fn::Sigmoid{});
    case Unary::tanh:
      return apply(fn::Tanh{});
    case Unary::softplus:
      return apply(fn::Softplus{});
    case Unary::hardswish:
      return apply(fn::HardSwish{});
    case Unary::hardsigmoid:
      return apply(fn::HardSigmoid<T>{alpha, beta});
    case Unary::clip:
      return apply(fn::Clip<T>{alpha, beta});
    case Unary::erf:
      return apply(fn::Erf{});
    case Unary::exp:
      return apply(fn::Exp{});
    case Unary::log:
      return apply(fn::Log{});
    case Unary::sqrt:
      return apply(fn::Sqrt{});
    case Unary::abs:
      return apply(fn::Abs{});
    case Unary::neg:
      return apply(fn::Neg{});
    case Unary::sign:
      return apply(fn::Sign{});
    case Unary::reciprocal:
      return apply(fn::Reciprocal{});
    case Unary::floor:
      return apply(fn::Floor{});
    case Unary::ceil:
      return apply(fn::Ceil{});
    case Unary::round:
      return apply(fn::Round{});
    case Unary::sin:
      return apply(fn::Sin{});
    case Unary::cos:
      return apply(fn::Cos{});
    case Unary::tan:
      return apply(fn::Tan{});
    case Unary::asin:
      return apply(fn::Asin{});
    case Unary::acos:
      return apply(fn::Acos{});
    case Unary::atan:
      return apply(fn::Atan{});
    case Unary::sinh:
      return apply(fn::Sinh{});
    case Unary::cosh:
      return apply(fn::Cosh{});
    case Unary::asinh:
      return apply(fn::Asinh{});
    case Unary::acosh:
      return apply(fn::Acosh{});
    case Unary::atanh:
      return apply(fn::Atanh{});
    case Unary::stabilize:
      return apply(fn::Stabilize<T>{alpha});
  }
}

}  // namespace

template <class T>
void unary(Unary op, UnaryParameters parameters, std::int64_t count, const T* x, T* y) {
  if constexpr (std::is_floating_point_v<T>)
    floating_unary(op, parameters, count, x, y);
  else
    integer_unary(op, parameters, count, x, y);
}

void logical_not(std::int64_t count, const bool* x, bool* y) {
  map_contiguous([](bool v) { return !v; }, count, y, x);
}

template void unary(Unary, UnaryParameters, std::int64_t, const float*, float*);
template void unary(Unary, UnaryParameters, std::int64_t, const double*, double*);
template void unary(Unary, UnaryParameters, std::int64_t, const std::int32_t*, std::int32_t*);
template void unary(Unary, UnaryParameters, std::int64_t, const std::int64_t*, std::int64_t*);

}  // namespace rulegrad::kernels
