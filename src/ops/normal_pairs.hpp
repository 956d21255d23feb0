#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rulegrad/ops/random.hpp"

/// Normal numbers by the Box-Muller transform (Box and Muller 1958, "A note on the generation of random normal
/// deviates"), a run of pairs at once, in plain loops that vectorise. Logarithm, sine and cosine are our own:
/// of additions, multiplications, a division and a square root, which IEEE 754 rounds alike everywhere, so that
/// the bits hang neither on the library of the system nor on the machine, as long as nothing multiplies and
/// adds in one step (-ffp-contract=off). Each is within 2 units in the last place; polynomials are Chebyshev
/// fits of our own on the intervals named.
namespace rulegrad::random {

/// n blocks of 128 bits: the first words of all of them, then the second ones.
template <std::size_t n>
using Blocks = std::array<std::array<std::uint32_t, n>, 4>;

/// Ten rounds of Philox4x32 on n counters under one key (rulegrad/ops/random.hpp).
template <std::size_t n>
inline void philox_rounds(Blocks<n>& c, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0][i], b = std::uint64_t{0xCD9E8D57} * c[2][i];
      c[0][i] = static_cast<std::uint32_t>(b >> 32) ^ c[1][i] ^ key0;
      c[2][i] = static_cast<std::uint32_t>(a >> 32) ^ c[3][i] ^ key1;
      c[1][i] = static_cast<std::uint32_t>(b);
      c[3][i] = static_cast<std::uint32_t>(a);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

/// What a block is drawn for, so that the kinds of one place are independent.
enum class Kind : std::uint32_t { uniform, normal, index };

/// The blocks of n counters from `counter` on at a place, whose element does not count.
template <std::size_t n>
inline Blocks<n> blocks(const RandomPlace& place, std::int64_t counter, Kind kind) {
  const auto low = [](std::int64_t v) { return static_cast<std::uint32_t>(v); };
  Blocks<n> c;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t at = counter + static_cast<std::int64_t>(i);
    c[0][i] = low(at);
    c[1][i] = low(place.row);
    c[2][i] = low(place.sample);
    c[3][i] = static_cast<std::uint32_t>((at >> 32) & 0xff) | static_cast<std::uint32_t>(kind) << 8;
  }
  philox_rounds<n>(c, low(place.key), low(place.stream));
  return c;
}

/// An integer below 2^52 as the same number, by its place in the mantissa: vectors have no such conversion.
inline double exactly(std::uint64_t bits) {
  return std::bit_cast<double>(bits | 0x4330000000000000U) - 0x1p52;
}

/// In [0, 1), from 53 of 64 bits.
inline double unit(std::uint32_t high, std::uint32_t low) {
  return (exactly(high) * 0x1p21 + exactly(low >> 11)) * 0x1p-53;
}

/// sqrt(-2 log x) for 2^-53 <= x <= 1.
inline double radius(double x) {
  // x = 2^e m with m from sqrt(1/2) to sqrt(2); log m = log (1 + s) / (1 - s) with s = (m - 1) / (m + 1).
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x),
                      biased = (bits + 0x00095F619980C433U) >> 52;  // sqrt(1/2) to the next power of 2
  const double e = exactly(biased) - 1023, m = std::bit_cast<double>(bits - (biased << 52) + (1023ULL << 52));
  const double f = m - 1, s = f / (m + 1), z = s * s;
  double p = 0x1.2b5900de53b32p-3;  // (log((1 + s) / (1 - s)) - 2 s) / s^3 on s^2 <= 0.0295
  p = p * z + 0x1.39fe51a7c18f9p-3;
  p = p * z + 0x1.7462b51cb66b1p-3;
  p = p * z + 0x1.c71c62e3f11e6p-3;
  p = p * z + 0x1.2492492df281ap-2;
  p = p * z + 0x1.99999999952d7p-2;
  p = p * z + 0x1.5555555555558p-1;
  // 2 s = f - s f, and s f = f^2 / 2 - s f^2 / 2, so that what is rounded is small beside f.
  const double half = 0.5 * f * f;
  const double log_m = f - (half - s * (half + z * p));
  // log 2 in two parts, the first of which is exact in its product with e.
  const double log_x = e * 0x1.62e42fefa2p-1 + (log_m + e * 0x1.9ef35793c7673p-41);
  return std::sqrt(-2 * log_x);
}

/// cos and sin of 2 pi u for 0 <= u < 1.
inline std::array<double, 2> circle(double u) {
  // 4 u = n + r, n the nearest integer: the angle is n quarters of the circle and r pi / 2, |r| <= 1/2.
  const double quarters = 4 * u, shifted = quarters + 0x1.8p52, n = shifted - 0x1.8p52, r = quarters - n,
               w = r * r;
  double p = -0x1.6cc564dff8a7ap-31;  // (sin(pi r / 2) - pi r / 2) / r^3 on |r| <= 1/2
  p = p * w + 0x1.e8f036889ff68p-25;
  p = p * w - 0x1.e3074d25df4e9p-19;
  p = p * w + 0x1.50783486fab1cp-13;
  p = p * w - 0x1.32d2cce62b872p-8;
  p = p * w + 0x1.466bc6775aae1p-4;
  p = p * w - 0x1.4abbce625be53p-1;
  const double sine = r * 0x1.921fb54442d18p+0 + r * (w * p + 0x1.1a62633145c07p-54);
  double q = -0x1.b2f3d15e072b2p-28;  // (cos(pi r / 2) - 1) / r^2 on |r| <= 1/2
  q = q * w + 0x1.f9ce24161feb0p-22;
  q = q * w - 0x1.a6d1eef43193ep-16;
  q = q * w + 0x1.e1f5068688925p-11;
  q = q * w - 0x1.55d3c7e3cb23fp-6;
  q = q * w + 0x1.03c1f081b5ac0p-2;
  q = q * w - 0x1.3bd3cc9be45dep+0;
  const double cosine = 1 + w * q;
  // Odd quarters exchange them; signs change in the quarters 1 and 2, and 2 and 3.
  const std::uint64_t quarter = std::bit_cast<std::uint64_t>(shifted), exchange = 0 - (quarter & 1),
                      a = std::bit_cast<std::uint64_t>(cosine), b = std::bit_cast<std::uint64_t>(sine),
                      differ = (a ^ b) & exchange;
  return {std::bit_cast<double>((a ^ differ) ^ (((quarter + 1) & 2) << 62)),
          std::bit_cast<double>((b ^ differ) ^ ((quarter & 2) << 62))};
}

/// The numbers of n pairs from pair `pair` on, one behind the other.
template <std::size_t n>
inline std::array<double, 2 * n> normals(const RandomPlace& place, std::int64_t pair) {
  const Blocks<n> bits = blocks<n>(place, pair, Kind::normal);
  std::array<double, n> first, second;
  for (std::size_t i = 0; i < n; ++i) {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    const double length = radius(1 - unit(bits[0][i], bits[1][i]));
    const auto [x, y] = circle(unit(bits[2][i], bits[3][i]));
    first[i] = length * x;
    second[i] = length * y;
  }
  std::array<double, 2 * n> result;
  for (std::size_t i = 0; i < n; ++i) {
    result[2 * i] = first[i];
    result[2 * i + 1] = second[i];
  }
  return result;
}

/// The numbers of the elements from `first.element` on, n pairs at once.
template <std::size_t n, class T>
inline void draw_normals(const RandomPlace& first, std::span<T> numbers) {
  std::int64_t element = first.element;
  for (std::size_t at = 0; at < numbers.size();) {
    const auto skipped = static_cast<std::size_t>(element % 2);
    const std::array<double, 2 * n> drawn = normals<n>(first, element / 2);
    const std::size_t count = std::min(2 * n - skipped, numbers.size() - at);
    for (std::size_t i = 0; i < count; ++i) numbers[at + i] = static_cast<T>(drawn[skipped + i]);
    at += count;
    element += static_cast<std::int64_t>(count);
  }
}

}  // namespace rulegrad::random
