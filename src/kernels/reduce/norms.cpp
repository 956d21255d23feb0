#include "kernels/reduce/norms.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

/// Neighbouring positions that are summed at once.
constexpr std::int64_t width = 256;

template <class T>
T at_channel(std::span<const T> values, std::int64_t channel) {
  return values[values.size() == 1 ? 0 : static_cast<std::size_t>(channel)];
}

/// Calls row(c, from, to, length, offset) for each channel of each piece of neighbouring positions, with the
/// window [from, to) of channels around c and the offset of the piece in channel 0.
template <class Row>
void for_each_window(std::int64_t outer, std::int64_t channels, std::int64_t inner, std::int64_t size,
                     bool reversed, Row&& row) {
  const std::int64_t floor = (size - 1) / 2, ceil = size - 1 - floor;
  const std::int64_t before = reversed ? ceil : floor, after = reversed ? floor : ceil;
  const std::int64_t pieces = (inner + width - 1) / width;
  parallel_each(outer * pieces, channels * std::min(inner, width) * size, [&](std::int64_t i) {
    const std::int64_t begin = i % pieces * width, offset = i / pieces * channels * inner + begin;
    const std::int64_t length = std::min(width, inner - begin);
    for (std::int64_t c = 0; c < channels; ++c)
      row(c, std::max<std::int64_t>(0, c - before), std::min(channels, c + after + 1), length, offset);
  });
}

}  // namespace

template <class T>
void batch_norm(std::int64_t outer, std::int64_t channels, std::int64_t inner,
                const BatchNormParameters<T>& p, const T* x, T* y) {
  parallel_each(outer * channels, inner, [&](std::int64_t plane) {
    const std::int64_t c = plane % channels;
    const T mean = at_channel(p.mean, c), bias = at_channel(p.bias, c);
    const T factor = static_cast<T>(static_cast<double>(at_channel(p.scale, c)) /
                                    std::sqrt(static_cast<double>(at_channel(p.variance, c)) + p.epsilon));
    const T* const from = x + plane * inner;
    T* const to = y + plane * inner;
    vectorised([&] {
      for (std::int64_t i = 0; i < inner; ++i) to[i] = (from[i] - mean) * factor + bias;
    });
  });
}

namespace {

/// The sum of term(i) for i < count: running sums side by side, so that the loop vectorises and its bits do not depend
/// on how wide.
template <class Term>
double sum_of(std::int64_t count, Term term) {
  constexpr std::int64_t lanes = 16;
  double sums[lanes] = {};
  const std::int64_t whole = count / lanes * lanes;
  for (std::int64_t i = 0; i < whole; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) sums[j] += term(i + j);
  for (std::int64_t i = whole; i < count; ++i) sums[i - whole] += term(i);
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)
    for (std::int64_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  return sums[0];
}

/// y = (x - m) / sqrt(mean of (x - m)^2 + epsilon) for each row, m the row's mean, or 0 where it is not centred.
template <class T>
void divide_by_deviation(std::int64_t rows, std::int64_t count, bool centred, double epsilon, const T* x,
                         T* y) {
  parallel_each(rows, 3 * count, [&](std::int64_t row) {
    const T* const from = x + row * count;
    T* const to = y + row * count;
    vectorised([&] {
      const auto size = static_cast<double>(count);
      const double mean =
          centred ? sum_of(count, [&](std::int64_t i) { return static_cast<double>(from[i]); }) / size : 0;
      const double squares = sum_of(count, [&](std::int64_t i) {
        const double distance = static_cast<double>(from[i]) - mean;
        return distance * distance;
      });
      const double factor = 1 / std::sqrt(squares / size + epsilon);
      for (std::int64_t i = 0; i < count; ++i)
        to[i] = static_cast<T>((static_cast<double>(from[i]) - mean) * factor);
    });
  });
}

}  // namespace

template <class T>
void normalise_rows(std::int64_t rows, std::int64_t count, double epsilon, const T* x, T* y) {
  divide_by_deviation(rows, count, true, epsilon, x, y);
}

template <class T>
void rms_normalise_rows(std::int64_t rows, std::int64_t count, double epsilon, const T* x, T* y) {
  divide_by_deviation(rows, count, false, epsilon, x, y);
}

template <class T>
void lp_normalise(std::int64_t outer, std::int64_t channels, std::int64_t inner, const LpParameters& p,
                  const T* x, T* y) {
  const auto term = [&](T value) {
    const double size = std::abs(static_cast<double>(value));
    return p.p == 2 ? size * size : size;
  };
  const auto factor_of = [&](double sum) {
    const double size = p.p == 2 ? std::sqrt(sum + p.epsilon) : sum + p.epsilon;
    const double divisor = size < p.least ? p.least : size;
    return divisor == 0 ? 0 : 1 / divisor;
  };
  const std::int64_t pieces = (inner + width - 1) / width;
  parallel_each(outer * pieces, 2 * channels * std::min(inner, width), [&](std::int64_t piece) {
    const std::int64_t begin = piece % pieces * width, offset = piece / pieces * channels * inner + begin;
    const std::int64_t length = std::min(width, inner - begin);
    const T* const from = x + offset;
    T* const to = y + offset;
    vectorised([&] {
      if (inner == 1) {
        const double factor = factor_of(sum_of(channels, [&](std::int64_t c) { return term(from[c]); }));
        for (std::int64_t c = 0; c < channels; ++c)
          to[c] = static_cast<T>(static_cast<double>(from[c]) * factor);
        return;
      }
      double factor[width] = {};
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t i = 0; i < length; ++i) factor[i] += term(from[c * inner + i]);
      for (std::int64_t i = 0; i < length; ++i) factor[i] = factor_of(factor[i]);
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t i = 0; i < length; ++i)
          to[c * inner + i] = static_cast<T>(static_cast<double>(from[c * inner + i]) * factor[i]);
    });
  });
}

template <class T>
void channel_window_sum(std::int64_t outer, std::int64_t channels, std::int64_t inner, std::int64_t size,
                        bool reversed, const T* x, T* y) {
  const auto row = [&](std::int64_t c, std::int64_t from, std::int64_t to, std::int64_t length,
                       std::int64_t offset) {
    T* const sum = y + offset + c * inner;
    std::fill_n(sum, length, T(0));
    for (std::int64_t k = from; k < to; ++k)
      for (std::int64_t i = 0; i < length; ++i) sum[i] += x[offset + k * inner + i];
  };
  for_each_window(outer, channels, inner, size, reversed, row);
}

template <class T>
void lrn(std::int64_t outer, std::int64_t channels, std::int64_t inner, const LrnParameters& p, const T* x,
         T* y) {
  const T weight = static_cast<T>(p.alpha / static_cast<double>(p.size)), bias = static_cast<T>(p.bias);
  const auto row = [&](std::int64_t c, std::int64_t from, std::int64_t to, std::int64_t length,
                       std::int64_t offset) {
    std::array<T, width> squares{};
    for (std::int64_t k = from; k < to; ++k)
      for (std::int64_t i = 0; i < length; ++i) {
        const T value = x[offset + k * inner + i];
        squares[static_cast<std::size_t>(i)] += value * value;
      }
    const std::int64_t at = offset + c * inner;
    for (std::int64_t i = 0; i < length; ++i)
      y[at + i] =
          x[at + i] / std::pow(bias + weight * squares[static_cast<std::size_t>(i)], static_cast<T>(p.beta));
  };
  for_each_window(outer, channels, inner, p.size, false, row);
}

template void batch_norm(std::int64_t, std::int64_t, std::int64_t, const BatchNormParameters<float>&,
                         const float*, float*);
template void normalise_rows(std::int64_t, std::int64_t, double, const float*, float*);
template void rms_normalise_rows(std::int64_t, std::int64_t, double, const float*, float*);
template void lp_normalise(std::int64_t, std::int64_t, std::int64_t, const LpParameters&, const float*,
                           float*);
template void channel_window_sum(std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool, const float*,
                                 float*);
template void lrn(std::int64_t, std::int64_t, std::int64_t, const LrnParameters&, const float*, float*);
template void batch_norm(std::int64_t, std::int64_t, std::int64_t, const BatchNormParameters<double>&,
                         const double*, double*);
template void normalise_rows(std::int64_t, std::int64_t, double, const double*, double*);
template void rms_normalise_rows(std::int64_t, std::int64_t, double, const double*, double*);
template void lp_normalise(std::int64_t, std::int64_t, std::int64_t, const LpParameters&, const double*,
                           double*);
template void channel_window_sum(std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool, const double*,
                                 double*);
template void lrn(std::int64_t, std::int64_t, std::int64_t, const LrnParameters&, const double*, double*);

}  // namespace rulegrad::kernels
