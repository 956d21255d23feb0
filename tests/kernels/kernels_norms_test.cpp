#include <doctest/doctest.h>
#include <tuple>

#include "kernels/reduce/norms.hpp"
#include "oracle/arrays.hpp"

using namespace rulegrad;

namespace {

/// x [n, c, i] by position.
std::size_t flat(std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t channels, std::int64_t inner) {
  return static_cast<std::size_t>((n * channels + c) * inner + i);
}

oracle::Values window_sums(const oracle::Values& x, std::int64_t outer, std::int64_t channels,
                           std::int64_t inner, std::int64_t before, std::int64_t after) {
  oracle::Values y(x.size());
  for (std::int64_t n = 0; n < outer; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t i = 0; i < inner; ++i)
        for (std::int64_t k = -before; k <= after; ++k)
          if (c + k >= 0 && c + k < channels)
            y[flat(n, c, i, channels, inner)] += x[flat(n, c + k, i, channels, inner)];
  return y;
}

template <class T>
void check_close(const std::vector<T>& found, const oracle::Values& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    REQUIRE(std::abs(static_cast<double>(found[i]) - expected[i]) <= tolerance * (1 + std::abs(expected[i])));
}

}  // namespace

TEST_CASE_TEMPLATE("norms agree with plain loops", T, float, double) {
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-13;
  for (const auto& [outer, channels, inner] :
       {std::array<std::int64_t, 3>{2, 3, 5}, {3, 7, 1}, {1, 6, 600}}) {
    const oracle::Values x = oracle::normal({outer, channels, inner}, 3);
    const auto values = oracle::as<T>(x);
    std::vector<T> y(values.size());

    const auto scale = oracle::as<T>(oracle::normal({channels}, 4)),
               bias = oracle::as<T>(oracle::normal({channels}, 5)),
               mean = oracle::as<T>(oracle::normal({channels}, 6));
    std::vector<T> variance = oracle::as<T>(oracle::normal({channels}, 7));
    for (T& v : variance) v = v * v;
    const std::vector<T> one_bias{T(0)};
    for (const bool broadcast : {false, true}) {
      kernels::batch_norm<T>(outer, channels, inner,
                             {scale, broadcast ? one_bias : bias, mean, variance, 1e-3}, values.data(),
                             y.data());
      oracle::Values expected(x.size());
      for (std::int64_t n = 0; n < outer; ++n)
        for (std::int64_t c = 0; c < channels; ++c)
          for (std::int64_t i = 0; i < inner; ++i) {
            const auto at = static_cast<std::size_t>(c), place = flat(n, c, i, channels, inner);
            expected[place] = (x[place] - static_cast<double>(mean[at])) /
                                  std::sqrt(static_cast<double>(variance[at]) + 1e-3) *
                                  static_cast<double>(scale[at]) +
                              (broadcast ? 0 : static_cast<double>(bias[at]));
          }
      check_close(y, expected, 10 * tolerance);
    }

    kernels::normalise_rows<T>(outer, channels * inner, 1e-5, values.data(), y.data());
    oracle::Values rows(x.size());
    const auto count = static_cast<std::size_t>(channels * inner);
    for (std::size_t r = 0; r < static_cast<std::size_t>(outer); ++r) {
      double m = 0, v = 0;
      for (std::size_t i = 0; i < count; ++i) m += x[r * count + i] / static_cast<double>(count);
      for (std::size_t i = 0; i < count; ++i)
        v += (x[r * count + i] - m) * (x[r * count + i] - m) / static_cast<double>(count);
      for (std::size_t i = 0; i < count; ++i)
        rows[r * count + i] = (x[r * count + i] - m) / std::sqrt(v + 1e-5);
    }
    check_close(y, rows, tolerance);

    kernels::rms_normalise_rows<T>(outer, channels * inner, 1e-5, values.data(), y.data());
    for (std::size_t r = 0; r < static_cast<std::size_t>(outer); ++r) {
      double v = 0;
      for (std::size_t i = 0; i < count; ++i)
        v += x[r * count + i] * x[r * count + i] / static_cast<double>(count);
      for (std::size_t i = 0; i < count; ++i) rows[r * count + i] = x[r * count + i] / std::sqrt(v + 1e-5);
    }
    check_close(y, rows, tolerance);

    for (const auto& [p, epsilon, least] :
         {std::tuple<std::int64_t, double, double>{2, 0, 0}, {2, 0.5, 0}, {1, 0, 2.5}}) {
      kernels::lp_normalise<T>(outer, channels, inner, {p, epsilon, least}, values.data(), y.data());
      oracle::Values expected(x.size());
      for (std::int64_t n = 0; n < outer; ++n)
        for (std::int64_t i = 0; i < inner; ++i) {
          double sum = epsilon;
          for (std::int64_t c = 0; c < channels; ++c)
            sum += std::pow(std::abs(x[flat(n, c, i, channels, inner)]), static_cast<double>(p));
          const double divisor = std::max(std::pow(sum, 1 / static_cast<double>(p)), least);
          for (std::int64_t c = 0; c < channels; ++c)
            expected[flat(n, c, i, channels, inner)] = x[flat(n, c, i, channels, inner)] / divisor;
        }
      check_close(y, expected, tolerance);
    }

    for (const std::int64_t size : {1, 2, 4, 5}) {
      const std::int64_t before = (size - 1) / 2, after = size / 2;
      kernels::channel_window_sum(outer, channels, inner, size, false, values.data(), y.data());
      check_close(y, window_sums(x, outer, channels, inner, before, after), tolerance);
      kernels::channel_window_sum(outer, channels, inner, size, true, values.data(), y.data());
      check_close(y, window_sums(x, outer, channels, inner, after, before), tolerance);

      kernels::lrn(outer, channels, inner, {size, 0.5, 0.75, 2}, values.data(), y.data());
      oracle::Values squares = x;
      for (double& value : squares) value *= value;
      oracle::Values expected = window_sums(squares, outer, channels, inner, before, after);
      for (std::size_t i = 0; i < x.size(); ++i)
        expected[i] = x[i] / std::pow(2 + 0.5 / static_cast<double>(size) * expected[i], 0.75);
      check_close(y, expected, tolerance);
    }
  }
}
