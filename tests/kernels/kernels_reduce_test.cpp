#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/support/error.hpp"

#include "kernels/reduce/reduce.hpp"
#include "kernels/reduce/softmax.hpp"
#include "oracle/arrays.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using kernels::Reduction;
using oracle::Dims;
using oracle::Values;

namespace {

bool contains(const Dims& axes, std::size_t axis) {
  return std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
}

/// For each result the values that go into it, in row-major order.
std::vector<Values> groups(const Dims& dims, const Dims& axes, const Values& x) {
  Dims kept;
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (!contains(axes, i)) kept.push_back(dims[i]);
  std::vector<Values> out(static_cast<std::size_t>(oracle::count(kept)));
  oracle::for_each_index(dims, [&](const Dims& index) {
    Dims to;
    for (std::size_t i = 0; i < dims.size(); ++i)
      if (!contains(axes, i)) to.push_back(index[i]);
    out[oracle::flat(kept, to)].push_back(x[oracle::flat(dims, index)]);
  });
  return out;
}

struct Case {
  Dims dims, axes;
};

const std::vector<Case> all_cases{
    {{7}, {0}},
    {{7}, {}},
    {{3, 5}, {1}},
    {{3, 5}, {0}},
    {{3, 5}, {0, 1}},
    {{2, 3, 4, 5}, {0, 2, 3}},
    {{2, 3, 4, 5}, {1}},
    {{2, 3, 4, 5}, {0, 2}},
    {{2, 3, 4, 5}, {1, 3}},
    {{2, 3, 1, 5, 1}, {2, 3}},
    {{2, 3, 4, 1}, {1, 3}},
    {{3, 700}, {0}},
    {{5000, 3}, {0}},
    {{2, 80000}, {1}},
    {{2, 300, 280}, {0, 1, 2}},
    {{4, 1, 1}, {1, 2}},
};

template <class T>
std::vector<T> reduce(Reduction op, const Case& c, const Values& x) {
  const auto in = oracle::as<T>(x);
  std::vector<T> y(groups(c.dims, c.axes, x).size(), T(99));
  kernels::reduce<T>(op, c.dims, c.axes, in.data(), y.data());
  return y;
}

}  // namespace

TEST_CASE_TEMPLATE("reductions agree with plain loops", T, float, double) {
  for (const auto& c : all_cases) {
    CAPTURE(c.dims);
    CAPTURE(c.axes);
    const auto x = oracle::normal(c.dims, 11);
    const auto parts = groups(c.dims, c.axes, x);
    const auto sum = reduce<T>(Reduction::sum, c, x), mean = reduce<T>(Reduction::mean, c, x);
    const auto top = reduce<T>(Reduction::amax, c, x), low = reduce<T>(Reduction::amin, c, x);
    const auto product = reduce<T>(Reduction::prod, c, x);
    Values sums, means, products, scale, mean_scale;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      double s = 0, a = 0, p = 1;
      for (const double v : parts[i]) {
        s += v;
        a += std::abs(v);
        p *= v;
      }
      REQUIRE(static_cast<double>(top[i]) == *std::max_element(parts[i].begin(), parts[i].end()));
      REQUIRE(static_cast<double>(low[i]) == *std::min_element(parts[i].begin(), parts[i].end()));
      sums.push_back(s);
      means.push_back(s / static_cast<double>(parts[i].size()));
      products.push_back(p);
      // float32 sums run in float64 and round once, to the result; float64 ones carry roundings of the terms.
      scale.push_back(sizeof(T) == 4 ? std::abs(s) + 1e-9 * a : a);
      mean_scale.push_back(scale.back() / static_cast<double>(parts[i].size()));
    }
    CHECK(oracle::error_in_roundings(sum, sums, scale) < 2);
    CHECK(oracle::error_in_roundings(mean, means, mean_scale) < 2);
    if (parts[0].size() < 100)
      CHECK(oracle::error_in_roundings(product, products, oracle::magnitudes(products)) < 30);
    CHECK(same_on_any_threads([&] { return reduce<T>(Reduction::sum, c, x); }));
  }
}

TEST_CASE("a long float32 sum loses nothing to the running total") {
  const Case c{{1 << 20}, {0}};
  CHECK(reduce<float>(Reduction::sum, c, Values(1 << 20, static_cast<double>(0.1F)))[0] ==
        static_cast<float>((1 << 20) * static_cast<double>(0.1F)));
}

TEST_CASE("integers reduce exactly and NaN wins among the largest and the smallest") {
  const std::vector<std::int64_t> x{5, -3, 9007199254740993, 2};
  std::int64_t y = 0;
  kernels::reduce<std::int64_t>(Reduction::sum, Dims{4}, Dims{0}, x.data(), &y);
  CHECK(y == 9007199254740997);
  kernels::reduce<std::int64_t>(Reduction::amin, Dims{4}, Dims{0}, x.data(), &y);
  CHECK(y == -3);
  std::vector<float> v(40, 1.0F);
  v[20] = std::numeric_limits<float>::quiet_NaN();
  float z = 0;
  kernels::reduce<float>(Reduction::amax, Dims{40}, Dims{0}, v.data(), &z);
  CHECK(std::isnan(z));
  kernels::reduce<float>(Reduction::amin, Dims{40}, Dims{0}, v.data(), &z);
  CHECK(std::isnan(z));
}

TEST_CASE("reducing no values gives the neutral value") {
  std::vector<double> y(2, 99);
  kernels::reduce<double>(Reduction::sum, Dims{2, 0}, Dims{1}, nullptr, y.data());
  CHECK(y == std::vector<double>{0, 0});
  kernels::reduce<double>(Reduction::prod, Dims{0, 2}, Dims{0}, nullptr, y.data());
  CHECK(y == std::vector<double>{1, 1});
}

TEST_CASE("sum_to undoes broadcasting") {
  const auto x = oracle::normal({2, 3, 4}, 5);
  const std::vector<std::pair<Dims, Dims>> targets{{{3, 1}, {0, 2}},       {{4}, {0, 1}},   {{2, 3, 4}, {}},
                                                   {{1, 1, 1}, {0, 1, 2}}, {{}, {0, 1, 2}}, {{1, 3, 4}, {0}}};
  for (const auto& [dims, axes] : targets) {
    Values y(static_cast<std::size_t>(oracle::count(dims)));
    kernels::sum_to<double>(Dims{2, 3, 4}, x.data(), dims, y.data());
    const auto want = groups({2, 3, 4}, axes, x);
    REQUIRE(y.size() == want.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      double sum = 0;
      for (const double v : want[i]) sum += v;
      CHECK(y[i] == doctest::Approx(sum));
    }
  }
}

TEST_CASE("argmax and argmin take the first, and NaN before all") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> x{1, 3, 3, 2, 0, 0, 4, nan, nan};
  std::vector<std::int64_t> y(3);
  kernels::argmax<double>(Dims{3, 3}, 1, x.data(), y.data());
  CHECK(y == std::vector<std::int64_t>{1, 0, 1});
  kernels::argmin<double>(Dims{3, 3}, 1, x.data(), y.data());
  CHECK(y == std::vector<std::int64_t>{0, 1, 1});
  kernels::argmax<double>(Dims{3, 3}, 0, x.data(), y.data());
  CHECK(y == std::vector<std::int64_t>{2, 2, 2});
  CHECK_THROWS_AS(kernels::argmax<double>(Dims{3, 0}, 1, x.data(), y.data()), Error);
}

TEST_CASE_TEMPLATE("softmax and its logarithm agree with plain loops on every axis", T, float, double) {
  const Dims dims{3, 70, 90};
  auto x = oracle::normal(dims, 3);
  for (auto& v : x) v *= 40;  // overflows when it is not shifted
  const auto in = oracle::as<T>(x);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(in[i]);
  for (std::int64_t axis = 0; axis < 3; ++axis) {
    const auto parts = groups(dims, {axis}, x);
    std::vector<T> soft(x.size()), logs(x.size());
    kernels::softmax<T>(dims, axis, in.data(), soft.data());
    kernels::log_softmax<T>(dims, axis, in.data(), logs.data());
    Values want(x.size()), log_want(x.size()), scale(x.size());
    const auto extent = static_cast<std::size_t>(dims[static_cast<std::size_t>(axis)]);
    const std::size_t inner = axis == 2 ? 1 : axis == 1 ? 90 : 6300;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto& part = parts[i / (inner * extent) * inner + i % inner];
      const double top = *std::max_element(part.begin(), part.end());
      double sum = 0;
      for (const double v : part) sum += std::exp(v - top);
      want[i] = std::exp(x[i] - top) / sum;
      log_want[i] = x[i] - top - std::log(sum);
      scale[i] = std::abs(x[i]) + std::abs(top) + std::log(sum);
    }
    // The rounding of x - max is a relative error of e^(x - max) of that size.
    Values soft_scale = want;
    for (std::size_t i = 0; i < want.size(); ++i) soft_scale[i] = want[i] * (3 + scale[i]) + 1e-38;
    CHECK(oracle::error_in_roundings(soft, want, soft_scale) < 2);
    CHECK(oracle::error_in_roundings(logs, log_want, scale) < 2);
  }
}
