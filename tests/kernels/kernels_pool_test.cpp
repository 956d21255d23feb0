#include <doctest/doctest.h>
#include <string>

#include "kernels/pool/pool.hpp"
#include "oracle/pool.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using oracle::Dims;
using oracle::Values;

namespace {

struct Case {
  std::string name;
  Dims in, kernel, strides, begin, end, dilations;
  bool ceil;
};

const std::vector<Case> all_cases{
    {"2x2 in pairs", {6, 8}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false},
    {"2x2 in pairs of an odd image", {7, 9}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false},
    {"2x2 in pairs, many rows", {70, 28}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false},
    {"2x2 in pairs, long rows", {5, 1101}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false},
    {"2x2, ceil", {7, 9}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, true},
    {"3x3 overlapping, padded", {9, 8}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false},
    {"3x3, ceil beyond the padding", {10, 8}, {3, 3}, {2, 3}, {0, 1}, {1, 0}, {1, 1}, true},
    {"asymmetric pads, dilation", {9, 11}, {2, 3}, {1, 2}, {0, 2}, {1, 1}, {2, 2}, false},
    {"1-D", {17}, {4}, {3}, {1}, {2}, {1}, true},
    {"3-D", {4, 5, 6}, {2, 3, 2}, {2, 1, 2}, {0, 1, 0}, {0, 1, 1}, {1, 1, 1}, false},
    {"global", {5, 6}, {5, 6}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, false},
};

constexpr std::int64_t plane_count = 5;

struct Windows {
  kernels::Window window;
  oracle::Pool pool;
};

Windows windows_of(const Case& c) {
  const auto w = kernels::make_window(c.in, c.kernel, c.strides, c.begin, c.end, c.dilations, c.ceil);
  const Dims out(w.out.end() - static_cast<std::ptrdiff_t>(c.in.size()), w.out.end());
  return {w, {c.in, out, c.kernel, c.strides, c.begin, c.end, c.dilations}};
}

}  // namespace

TEST_CASE("output extents follow ONNX, with ceil too") {
  const auto out = [](std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t begin,
                      std::int64_t end, bool ceil) {
    return kernels::make_window(Dims{in}, Dims{kernel}, Dims{stride}, Dims{begin}, Dims{end}, {}, ceil)
        .out[2];
  };
  CHECK(out(32, 3, 2, 0, 0, false) == 15);
  CHECK(out(32, 3, 2, 0, 0, true) == 16);
  CHECK(out(2, 1, 2, 0, 0, true) == 1);  // a second window would start outside
  CHECK(out(4, 2, 3, 1, 1, true) == 2);  // and so would a third here, in the back padding
}

TEST_CASE_TEMPLATE("max pooling takes the first maximum, forward and backward", T, float, double) {
  for (const auto& c : all_cases) {
    CAPTURE(c.name);
    const auto [window, pool] = windows_of(c);
    Values x = oracle::normal({plane_count, oracle::count(c.in)}, 7);
    for (auto& v : x) v = std::round(v);  // many ties
    const auto where = oracle::first_maxima(pool, x, plane_count);
    const Values g = oracle::normal({static_cast<std::int64_t>(where.size())}, 8),
                 t = oracle::normal({static_cast<std::int64_t>(x.size())}, 9);
    const auto xt = oracle::as<T>(x), gt = oracle::as<T>(g), tt = oracle::as<T>(t);
    std::vector<T> y(g.size(), T(99)), gx(x.size(), T(99)), selected(g.size(), T(99));
    kernels::max_pool<T>(window, plane_count, xt.data(), y.data());
    kernels::max_pool_input_grad<T>(window, plane_count, xt.data(), gt.data(), gx.data());
    kernels::max_pool_select<T>(window, plane_count, xt.data(), tt.data(), selected.data());
    Values want(x.size()), scale(x.size());
    for (std::size_t i = 0; i < where.size(); ++i) {
      const auto at = static_cast<std::size_t>(where[i]);
      REQUIRE(y[i] == xt[at]);
      REQUIRE(selected[i] == tt[at]);
      want[at] += g[i];
      scale[at] += std::abs(g[i]);
    }
    CHECK(oracle::error_in_roundings(gx, want, scale) < 4);
    CHECK(same_on_any_threads([&] {
      std::vector<T> again(x.size());
      kernels::max_pool_input_grad<T>(window, plane_count, xt.data(), gt.data(), again.data());
      return again;
    }));
  }
}

TEST_CASE("max pooling lets NaN through and gives its cotangent to the first one") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x{1, nan, 2, 3, nan, 4, 9, 8}, g{5, 6};
  for (const bool pairs : {true, false}) {
    // The same windows by the fast way, and by the general one that a front padding of nothing forces.
    auto window = kernels::make_window(Dims{2, 4}, Dims{2, 2}, Dims{2, 2});
    if (!pairs) window.dilation[0] = 2;
    std::vector<float> y(2), gx(8);
    kernels::max_pool<float>(window, 1, x.data(), y.data());
    kernels::max_pool_input_grad<float>(window, 1, x.data(), g.data(), gx.data());
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 9);
    CHECK(gx == std::vector<float>{0, 5, 0, 0, 0, 0, 6, 0});
  }
}

TEST_CASE_TEMPLATE("pairs give what windows in general give, NaN among them", T, float, double) {
  const Dims dims{3, 38, 30};
  Values values = oracle::normal(dims, 4);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = i % 7 == 0 ? std::numeric_limits<double>::quiet_NaN() : std::round(values[i]);
  const auto x = oracle::as<T>(values), g = oracle::as<T>(oracle::normal({3, 19, 15}, 5));
  const kernels::Window pairs = kernels::make_window(Dims{3, 38, 30}, Dims{1, 2, 2}, Dims{1, 2, 2});
  kernels::Window general = pairs;
  general.dilation[0] = 2;  // of a kernel one plane deep: the same windows, by the general way
  std::vector<T> y[2], gx[2];
  for (const bool fast : {true, false}) {
    y[fast].resize(g.size());
    gx[fast].resize(x.size());
    kernels::max_pool<T>(fast ? pairs : general, 1, x.data(), y[fast].data());
    kernels::max_pool_input_grad<T>(fast ? pairs : general, 1, x.data(), g.data(), gx[fast].data());
  }
  CHECK(gx[0] == gx[1]);
  std::size_t nan = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    nan += std::isnan(y[0][i]) ? 1 : 0;
    REQUIRE((y[0][i] == y[1][i] || (std::isnan(y[0][i]) && std::isnan(y[1][i]))));
  }
  CHECK(nan > 100);
}

TEST_CASE("max pooling never takes the padding") {
  const auto window = kernels::make_window(Dims{2, 2}, Dims{3, 3}, Dims{2, 2}, Dims{1, 1}, Dims{1, 1});
  const std::vector<double> x{-5, -6, -7, -8};
  std::vector<double> y(1);
  kernels::max_pool<double>(window, 1, x.data(), y.data());
  CHECK(y[0] == -5);
}

TEST_CASE_TEMPLATE("average pooling and its adjoint agree with the averaging matrix", T, float, double) {
  for (const auto& c : all_cases)
    for (const bool count_padding : {false, true}) {
      CAPTURE(c.name);
      CAPTURE(count_padding);
      const auto [window, pool] = windows_of(c);
      const auto matrix = oracle::averaging(pool, count_padding);
      const std::size_t in = static_cast<std::size_t>(oracle::count(c.in)), out = matrix.size();
      const Values x = oracle::normal({plane_count, static_cast<std::int64_t>(in)}, 3),
                   g = oracle::normal({plane_count, static_cast<std::int64_t>(out)}, 4);
      Values y(g.size()), ys(g.size()), gx(x.size()), gs(x.size());
      for (std::size_t p = 0; p < static_cast<std::size_t>(plane_count); ++p)
        for (std::size_t o = 0; o < out; ++o)
          for (std::size_t i = 0; i < in; ++i) {
            y[p * out + o] += matrix[o][i] * x[p * in + i];
            ys[p * out + o] += std::abs(matrix[o][i] * x[p * in + i]);
            gx[p * in + i] += matrix[o][i] * g[p * out + o];
            gs[p * in + i] += std::abs(matrix[o][i] * g[p * out + o]);
          }
      const auto xt = oracle::as<T>(x), gt = oracle::as<T>(g);
      std::vector<T> got(y.size(), T(99)), back(x.size(), T(99));
      kernels::avg_pool<T>(window, count_padding, plane_count, xt.data(), got.data());
      kernels::avg_pool_input_grad<T>(window, count_padding, plane_count, gt.data(), back.data());
      CHECK(oracle::error_in_roundings(got, y, ys) < 3);
      CHECK(oracle::error_in_roundings(back, gx, gs) < 5);
    }
}
