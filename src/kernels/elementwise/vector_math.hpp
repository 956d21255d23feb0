#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>

/// e^x, tanh and erf without branches or calls for float, so that loops over them vectorise; within 3 units
/// in the last place. For double they are those of the standard library. The polynomials are Chebyshev fits
/// of our own on the intervals named.
namespace rulegrad::kernels::fn {

template <std::floating_point T>
T exp(T x) {
  if constexpr (!std::same_as<T, float>) {
    return std::exp(x);
  } else {
    // Beyond these e^x is 0 or infinite anyway; NaN passes both tests.
    const float low = x < -104.0F ? -104.0F : x, v = low > 89.0F ? 89.0F : low;
    // Adding 1.5 * 2^23 leaves the nearest integer of v / log 2 in the low bits.
    constexpr float magic = 12582912.0F;
    const float shifted = v * 1.44269504F + magic, n = shifted - magic;
    const float r =
        (v - n * 0.693359375F) + n * 2.12194440e-4F;  // log 2 in two parts, the first exact in n * it
    float p = 1.989939054e-04F;                       // (e^r - 1 - r) / r^2 on |r| <= log(2) / 2
    p = p * r + 1.393373255e-03F;
    p = p * r + 8.333298344e-03F;
    p = p * r + 4.166646418e-02F;
    p = p * r + 1.666666672e-01F;
    p = p * r + 5.000000014e-01F;
    const float mantissa = 1.0F + (r + r * r * p);
    // 2^n as two factors: n runs from -150 to 128.
    const auto exponent = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) - 0x4B400000U);
    const std::int32_t half = exponent >> 1;
    const auto power = [](std::int32_t e) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
    };
    return mantissa * power(half) * power(exponent - half);
  }
}

template <std::floating_point T>
T expm1(T x) {
  if constexpr (!std::same_as<T, float>) {
    return std::expm1(x);
  } else {
    float p = 1.989939054e-04F;
    p = p * x + 1.393373255e-03F;
    p = p * x + 8.333298344e-03F;
    p = p * x + 4.166646418e-02F;
    p = p * x + 1.666666672e-01F;
    p = p * x + 5.000000014e-01F;
    const float near = x + x * x * p, far = fn::exp(x) - 1.0F;
    return x > -0.34F && x < 0.34F ? near : far;
  }
}

/// log(1 + e) for 0 <= e <= 1.
template <std::floating_point T>
T log1p_of_unit(T e) {
  if constexpr (!std::same_as<T, float>) {
    return std::log1p(e);
  } else {
    float p = -3.256378472e-03F;
    p = p * e + 1.990716092e-02F;
    p = p * e - 5.706420075e-02F;
    p = p * e + 1.061426469e-01F;
    p = p * e - 1.531186310e-01F;
    p = p * e + 1.967811726e-01F;
    p = p * e - 2.495455887e-01F;
    p = p * e + 3.333000404e-01F;
    p = p * e - 4.999990399e-01F;
    return e + e * e * p;
  }
}

template <std::floating_point T>
T tanh(T x) {
  if constexpr (!std::same_as<T, float>) {
    return std::tanh(x);
  } else {
    const float z = x * x, size = x < 0.0F ? -x : x;
    float p = 2.218364361e-03F;  // (tanh(x) / x - 1) / x^2 on |x| <= 0.65
    p = p * z - 8.276127663e-03F;
    p = p * z + 2.174755120e-02F;
    p = p * z - 5.395655667e-02F;
    p = p * z + 1.333329185e-01F;
    p = p * z - 3.333333309e-01F;
    const float near = x + x * z * p, far = 1.0F - 2.0F / (fn::exp(2.0F * size) + 1.0F);
    return size < 0.625F ? near : std::copysign(far, x);
  }
}

template <std::floating_point T>
T erf(T x) {
  if constexpr (!std::same_as<T, float>) {
    return std::erf(x);
  } else {
    const float z = x * x, size = x < 0.0F ? -x : x, u = size > 4.0F ? 4.0F : size;
    float p = -9.673590329e-06F;  // erf(x) / x on |x| <= 1
    p = p * z + 1.126825373e-04F;
    p = p * z - 8.484396528e-04F;
    p = p * z + 5.221053411e-03F;
    p = p * z - 2.686543831e-02F;
    p = p * z + 1.128378262e-01F;
    p = p * z - 3.761263848e-01F;
    p = p * z + 1.128379167e+00F;
    float q = -1.542392244e-07F;  // -log(1 - erf(u)) on 1 <= u <= 4; beyond, erf rounds to 1
    q = q * u + 1.443660903e-06F;
    q = q * u + 1.941813723e-05F;
    q = q * u - 4.660234874e-04F;
    q = q * u + 4.358114309e-03F;
    q = q * u - 2.562209581e-02F;
    q = q * u + 1.090489866e-01F;
    q = q * u + 6.326583253e-01F;
    q = q * u + 1.129851828e+00F;
    q = q * u - 2.443332827e-04F;
    return size < 1.0F ? x * p : std::copysign(1.0F - fn::exp(-q), x);
  }
}

}  // namespace rulegrad::kernels::fn
