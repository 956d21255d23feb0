#include <doctest/doctest.h>

#include "kernels/plain/blas.hpp"
#include "kernels/product/matmul.hpp"
#include "oracle/matmul.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using oracle::Dims;
using oracle::Values;

namespace {

struct Case {
  Dims a, b, y;
};

// Small and large, thin on either side, batched with broadcasting on either side.
const std::vector<Case> all_cases{
    {{3, 4}, {4, 5}, {3, 5}},
    {{1, 300}, {300, 70}, {1, 70}},
    {{1, 2500}, {2500, 9}, {1, 9}},
    {{7, 2100}, {2100, 37}, {7, 37}},
    {{16, 33}, {33, 1030}, {16, 1030}},
    {{61, 129}, {129, 1}, {61, 1}},
    {{45, 300}, {300, 6}, {45, 6}},
    {{70, 500}, {500, 20}, {70, 20}},
    {{2000, 70}, {70, 32}, {2000, 32}},
    {{33, 257}, {257, 35}, {33, 35}},
    {{100, 600}, {600, 50}, {100, 50}},
    {{260, 40}, {40, 400}, {260, 400}},
    {{2, 3, 20, 17}, {2, 3, 17, 19}, {2, 3, 20, 19}},
    {{2, 1, 5, 6}, {3, 6, 4}, {2, 3, 5, 4}},
    {{5, 6}, {4, 6, 7}, {4, 5, 7}},
    {{4, 5, 6}, {6, 7}, {4, 5, 7}},
    {{4, 5, 6}, {1, 1, 6, 7}, {1, 4, 5, 7}},
    {{2, 40, 30}, {2, 30, 1}, {2, 40, 1}},
};

Dims swap_last(Dims d) {
  std::swap(d[d.size() - 1], d[d.size() - 2]);
  return d;
}

template <class T>
std::vector<T> run(const Case& c, const Values& a, bool ta, const Values& b, bool tb) {
  const auto at = oracle::as<T>(ta ? oracle::swapped(c.a, a) : a),
             bt = oracle::as<T>(tb ? oracle::swapped(c.b, b) : b);
  std::vector<T> y(static_cast<std::size_t>(oracle::count(c.y)), std::numeric_limits<T>::quiet_NaN());
  kernels::matmul<T>(ta ? swap_last(c.a) : c.a, at.data(), ta, tb ? swap_last(c.b) : c.b, bt.data(), tb, c.y,
                     y.data());
  return y;
}

}  // namespace

TEST_CASE_TEMPLATE("matmul agrees with plain loops in all layouts", T, float, double) {
  unsigned seed = 1;
  for (const auto& c : all_cases)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        CAPTURE(c.a);
        CAPTURE(c.b);
        CAPTURE(ta);
        CAPTURE(tb);
        const auto a = oracle::normal(c.a, ++seed), b = oracle::normal(c.b, ++seed);
        const auto want = oracle::matmul(c.a, a, c.b, b, c.y);
        const auto scale = oracle::matmul(c.a, oracle::magnitudes(a), c.b, oracle::magnitudes(b), c.y);
        CHECK(oracle::error_in_roundings(run<T>(c, a, ta, b, tb), want, scale) < 4);
        CHECK(same_on_any_threads([&] { return run<T>(c, a, ta, b, tb); }));
      }
}

TEST_CASE("a one-axis operand is a row or a column") {
  const auto a = oracle::normal({3, 4}, 1), v = oracle::normal({4}, 2);
  const Values w = oracle::normal({3}, 3);
  Values right(3), left(4), dot(1);
  kernels::matmul<double>(Dims{3, 4}, a.data(), false, Dims{4}, v.data(), false, Dims{3}, right.data());
  kernels::matmul<double>(Dims{3}, w.data(), false, Dims{3, 4}, a.data(), false, Dims{4}, left.data());
  kernels::matmul<double>(Dims{4}, v.data(), false, Dims{4}, v.data(), false, Dims{}, dot.data());
  double square = 0;
  for (std::size_t k = 0; k < 4; ++k) {
    square += v[k] * v[k];
    CHECK(left[k] == doctest::Approx(w[0] * a[k] + w[1] * a[4 + k] + w[2] * a[8 + k]));
  }
  CHECK(dot[0] == doctest::Approx(square));
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < 4; ++k) sum += a[i * 4 + k] * v[k];
    CHECK(right[i] == doctest::Approx(sum));
  }
}

TEST_CASE("products of one row or column to many agree with plain loops, and over no depth are 0") {
  for (const std::int64_t m : {1, 20, 40})
    for (const std::int64_t n : {1, 20, 40})
      for (const bool ta : {false, true})
        for (const bool tb : {false, true}) {
          const std::int64_t k = 300;
          const auto a = oracle::normal({m, k}, 1), b = oracle::normal({k, n}, 2);
          const auto want = oracle::matmul({m, k}, a, {k, n}, b, {m, n});
          const auto c = run<double>({{m, k}, {k, n}, {m, n}}, a, ta, b, tb);
          for (std::size_t i = 0; i < c.size(); ++i) REQUIRE(c[i] == doctest::Approx(want[i]));
          CHECK(run<double>({{m, 0}, {0, n}, {m, n}}, {}, ta, {}, tb) == Values(c.size(), 0.0));
        }
}

TEST_CASE("rows of a product keep their bits whatever other rows are computed with them") {
  const std::int64_t depth = 700, columns = 90;
  const auto a = oracle::as<float>(oracle::normal({64, depth}, 1)),
             b = oracle::as<float>(oracle::normal({depth, columns}, 2));
  // Streamed past few rows, past many, and in tiles: each kind of its own.
  for (const auto& [transposed, rows, fewer] : {std::tuple<bool, std::int64_t, std::int64_t>{false, 64, 40},
                                                {true, 64, 40},
                                                {false, 32, 9},
                                                {false, 32, 1},
                                                {true, 32, 8},
                                                {true, 7, 1}}) {
    CAPTURE(transposed);
    CAPTURE(rows);
    std::vector<float> all(static_cast<std::size_t>(rows * columns)),
        some(static_cast<std::size_t>(fewer * columns));
    const Dims b_dims = transposed ? Dims{columns, depth} : Dims{depth, columns};
    kernels::matmul<float>(Dims{rows, depth}, a.data(), false, b_dims, b.data(), transposed,
                           Dims{rows, columns}, all.data());
    kernels::matmul<float>(Dims{fewer, depth}, a.data(), false, b_dims, b.data(), transposed,
                           Dims{fewer, columns}, some.data());
    CHECK(some == std::vector<float>(all.begin(), all.begin() + fewer * columns));
  }
}

TEST_CASE("BLAS gets its threads back when the last kernel is done") {
  const kernels::SingleThreadedBlas outer;
  { const kernels::SingleThreadedBlas inner; }
  const std::vector<double> a{1, 2, 3, 4}, b{5, 6, 7, 8};
  std::vector<double> c(4);
  kernels::blas_gemm<double>(true, false, 2, 2, 2, a.data(), 2, b.data(), 2, 0, c.data(), 2);
  CHECK(c == std::vector<double>{26, 30, 38, 44});
}
