#include <doctest/doctest.h>

#include "rulegrad/support/error.hpp"

#include "kernels/move/resize.hpp"
#include "kernels/reduce/statistics.hpp"
#include "oracle/arrays.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using oracle::Dims;
using oracle::Values;

namespace {

/// The matrix of one axis, from the definitions in the ONNX specification of Resize.
std::vector<Values> axis_matrix(std::int64_t in, std::int64_t out, double scale, ResizeMode mode,
                                ResizeCoordinates coordinates, NearestRounding rounding) {
  std::vector<Values> rows;
  for (std::int64_t o = 0; o < out; ++o) {
    double x = 0;
    const auto at = static_cast<double>(o);
    if (coordinates == ResizeCoordinates::asymmetric) x = at / scale;
    if (coordinates == ResizeCoordinates::half_pixel) x = (at + 0.5) / scale - 0.5;
    if (coordinates == ResizeCoordinates::pytorch_half_pixel && out > 1) x = (at + 0.5) / scale - 0.5;
    if (coordinates == ResizeCoordinates::align_corners && out > 1)
      x = at * static_cast<double>(in - 1) / static_cast<double>(out - 1);
    Values row(static_cast<std::size_t>(in));
    const auto add = [&](double position, double weight) {
      const auto i = static_cast<std::size_t>(std::min(std::max(position, 0.0), static_cast<double>(in - 1)));
      row[i] += weight;
    };
    const double low = std::floor(x), part = x - low;
    if (mode == ResizeMode::linear) {
      add(low, 1 - part);
      add(low + 1, part);
    } else {
      bool up = part > 0.5;
      if (rounding == NearestRounding::round_prefer_ceil) up = part >= 0.5;
      if (rounding == NearestRounding::floor) up = false;
      if (rounding == NearestRounding::ceil) up = part > 0;
      add(up ? low + 1 : low, 1);
    }
    rows.push_back(row);
  }
  return rows;
}

struct Case {
  Dims in, out;
  Values scales;
};

const std::vector<Case> all_cases{
    {{4}, {8}, {}},       {{5, 4}, {10, 12}, {}}, {{7, 9}, {3, 4}, {}},        {{2, 3, 4}, {4, 3, 7}, {}},
    {{4, 4}, {1, 6}, {}}, {{1, 5}, {3, 5}, {}},   {{5, 6}, {8, 9}, {1.7, 1.6}}};

}  // namespace

TEST_CASE("resizing and its adjoint agree with the matrices of the ONNX definition") {
  for (const auto& c : all_cases)
    for (const auto mode : {ResizeMode::nearest, ResizeMode::linear})
      for (const auto coordinates : {ResizeCoordinates::half_pixel, ResizeCoordinates::pytorch_half_pixel,
                                     ResizeCoordinates::align_corners, ResizeCoordinates::asymmetric})
        for (const auto rounding : {NearestRounding::round_prefer_floor, NearestRounding::round_prefer_ceil,
                                    NearestRounding::floor, NearestRounding::ceil}) {
          if (mode == ResizeMode::linear && rounding != NearestRounding::floor) continue;
          CAPTURE(c.in);
          CAPTURE(c.out);
          CAPTURE(static_cast<int>(mode));
          CAPTURE(static_cast<int>(coordinates));
          CAPTURE(static_cast<int>(rounding));
          std::vector<std::vector<Values>> axes;
          for (std::size_t i = 0; i < c.in.size(); ++i)
            axes.push_back(axis_matrix(
                c.in[i], c.out[i],
                c.scales.empty() ? static_cast<double>(c.out[i]) / static_cast<double>(c.in[i]) : c.scales[i],
                mode, coordinates, rounding));
          const std::int64_t planes = 3, n_in = oracle::count(c.in), n_out = oracle::count(c.out);
          const auto x = oracle::normal({planes, n_in}, 1), g = oracle::normal({planes, n_out}, 2);
          Values y(g.size()), gx(x.size()), got(g.size(), 99), back(x.size(), 99);
          oracle::for_each_index(c.out, [&](const Dims& o) {
            oracle::for_each_index(c.in, [&](const Dims& i) {
              double weight = 1;
              for (std::size_t k = 0; k < i.size(); ++k)
                weight *= axes[k][static_cast<std::size_t>(o[k])][static_cast<std::size_t>(i[k])];
              for (std::int64_t p = 0; p < planes; ++p) {
                const std::size_t to = static_cast<std::size_t>(p * n_out) + oracle::flat(c.out, o),
                                  from = static_cast<std::size_t>(p * n_in) + oracle::flat(c.in, i);
                y[to] += weight * x[from];
                gx[from] += weight * g[to];
              }
            });
          });
          const kernels::ResizeGeometry geometry{c.in, c.out, c.scales, mode, coordinates, rounding};
          kernels::resize<double>(geometry, planes, x.data(), got.data());
          kernels::resize_adjoint<double>(geometry, planes, g.data(), back.data());
          for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(got[i] == doctest::Approx(y[i]).epsilon(1e-12));
          for (std::size_t i = 0; i < gx.size(); ++i)
            REQUIRE(back[i] == doctest::Approx(gx[i]).epsilon(1e-12));
        }
}

TEST_CASE("quantiles interpolate between ranks, per sample") {
  const std::vector<float> x{4, 1, 3, 2, 10, 40, 30, 20};
  std::vector<float> y(2);
  kernels::quantile<float>(0.5, 2, 4, x.data(), y.data());
  CHECK(y == std::vector<float>{2.5F, 25});
  kernels::quantile<float>(0, 2, 4, x.data(), y.data());
  CHECK(y == std::vector<float>{1, 10});
  kernels::quantile<float>(1, 2, 4, x.data(), y.data());
  CHECK(y == std::vector<float>{4, 40});
  kernels::quantile<float>(0.9, 2, 4, x.data(), y.data());
  CHECK(y[0] == doctest::Approx(3.7));
  const std::vector<double> bad{1, std::numeric_limits<double>::quiet_NaN()};
  double z = 0;
  kernels::quantile<double>(0.5, 1, 2, bad.data(), &z);
  CHECK(std::isnan(z));
  CHECK_THROWS_AS(kernels::quantile<double>(0.5, 1, 0, bad.data(), &z), Error);
}

TEST_CASE_TEMPLATE("the first value that is not finite is found anywhere", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  std::vector<T> v(300000, T(1));
  CHECK(kernels::first_non_finite<T>(v) == -1);
  CHECK(kernels::first_non_finite<T>(std::span<const T>{}) == -1);
  v[1] = std::numeric_limits<T>::max();
  v[2] = std::numeric_limits<T>::denorm_min();
  CHECK(kernels::first_non_finite<T>(v) == -1);
  for (const std::int64_t at : {299999, 200000, 65536, 1023, 0}) {
    v[static_cast<std::size_t>(at)] = at % 2 == 0 ? -inf : nan;
    for (const int threads : {1, 2, 4}) {
      const Threads scope(threads);
      CHECK(kernels::first_non_finite<T>(v) == at);
    }
  }
}
