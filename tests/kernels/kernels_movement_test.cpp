#include <algorithm>
#include <array>
#include <doctest/doctest.h>

#include "rulegrad/support/error.hpp"

#include "kernels/move/movement.hpp"
#include "oracle/arrays.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using oracle::Dims;
using oracle::Values;

namespace {

template <class T>
std::vector<T> counted(std::int64_t n) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<T>(i % 251);
  return v;
}

}  // namespace

TEST_CASE_TEMPLATE("transpose moves every element, for each size of element", T, std::uint8_t, float,
                   double) {
  const std::vector<std::pair<Dims, Dims>> cases{{{3, 5}, {1, 0}},
                                                 {{70, 90}, {1, 0}},
                                                 {{2, 3, 4}, {0, 2, 1}},
                                                 {{2, 3, 4}, {2, 1, 0}},
                                                 {{2, 3, 4}, {1, 0, 2}},
                                                 {{2, 40, 6, 50}, {0, 2, 3, 1}},
                                                 {{2, 5, 6, 33}, {0, 3, 1, 2}},
                                                 {{2, 3, 4, 5}, {3, 1, 2, 0}},
                                                 {{2, 3, 4, 5}, {0, 1, 2, 3}},
                                                 {{4, 1, 5}, {1, 2, 0}},
                                                 {{}, {}},
                                                 {{0, 3}, {1, 0}},
                                                 {{2, 3, 2, 3, 2}, {4, 0, 3, 1, 2}},
                                                 {{12, 64, 20}, {1, 0, 2}}};
  for (const auto& [dims, perm] : cases) {
    CAPTURE(dims);
    CAPTURE(perm);
    const auto x = counted<T>(oracle::count(dims));
    Dims to;
    for (const auto axis : perm) to.push_back(dims[static_cast<std::size_t>(axis)]);
    std::vector<T> y(x.size(), T(255));
    kernels::transpose(sizeof(T), dims, perm, x.data(), y.data());
    oracle::for_each_index(to, [&](const Dims& index) {
      Dims from(dims.size());
      for (std::size_t i = 0; i < perm.size(); ++i) from[static_cast<std::size_t>(perm[i])] = index[i];
      REQUIRE(y[oracle::flat(to, index)] == x[oracle::flat(dims, from)]);
    });
  }
}

TEST_CASE("expand repeats along stretched axes") {
  const auto x = counted<float>(6);
  std::vector<float> y(4 * 2 * 5 * 3);
  kernels::expand(4, Dims{2, 1, 3}, x.data(), Dims{4, 2, 5, 3}, y.data());
  oracle::for_each_index({4, 2, 5, 3}, [&](const Dims& i) {
    REQUIRE(y[oracle::flat({4, 2, 5, 3}, i)] == x[static_cast<std::size_t>(i[1] * 3 + i[3])]);
  });
}

TEST_CASE("slices and their adjoint, steps backwards included") {
  const Dims dims{4, 7, 9};
  const std::vector<std::array<Dims, 3>> cases{
      {Dims{0, 0, 0}, {1, 1, 1}, {4, 7, 9}},    {Dims{1, 2, 3}, {1, 2, 3}, {2, 3, 2}},
      {Dims{3, 6, 8}, {-1, -2, -1}, {4, 4, 9}}, {Dims{0, 5, 0}, {1, -5, 1}, {4, 2, 9}},
      {Dims{2, 0, 0}, {1, 1, 1}, {1, 7, 9}},    {Dims{0, 0, 4}, {1, 1, 1}, {4, 7, 0}}};
  const auto x = counted<double>(oracle::count(dims));
  for (const auto& [starts, steps, to] : cases) {
    CAPTURE(starts);
    std::vector<double> y(static_cast<std::size_t>(oracle::count(to)), -1), want = y, back(x.size(), -1),
                                                                            back_want(x.size());
    oracle::for_each_index(to, [&](const Dims& i) {
      Dims at;
      for (std::size_t k = 0; k < 3; ++k) at.push_back(starts[k] + i[k] * steps[k]);
      want[oracle::flat(to, i)] = x[oracle::flat(dims, at)];
      back_want[oracle::flat(dims, at)] = x[oracle::flat(dims, at)];
    });
    kernels::slice(8, dims, starts, steps, x.data(), to, y.data());
    CHECK(y == want);
    kernels::slice_scatter(8, to, starts, steps, y.data(), dims, back.data());
    CHECK(back == back_want);
  }
}

TEST_CASE("concat lays arrays side by side along an axis") {
  const std::vector<float> a{1, 2, 3, 4}, b{5, 6}, none;
  const std::vector<const void*> xs{a.data(), none.data(), b.data()};
  const Dims extents{2, 0, 1};
  std::vector<float> y(6);
  kernels::concat(4, 2, extents, 1, xs, y.data());
  CHECK(y == std::vector<float>{1, 2, 5, 3, 4, 6});
  const auto big = counted<float>(200000);
  const std::vector<const void*> two{big.data(), big.data()};
  std::vector<float> both(400000);
  kernels::concat(4, 2, Dims{100, 100}, 1000, two, both.data());
  CHECK(std::equal(big.begin(), big.begin() + 100000, both.begin() + 100000));
  CHECK(std::equal(big.begin() + 100000, big.end(), both.begin() + 300000));
}

TEST_CASE("padding in all modes, and its adjoint is its transpose") {
  struct Case {
    Dims dims, begin, end;
  };
  const std::vector<Case> cases{{{2, 3, 4, 5}, {0, 0, 1, 2}, {0, 0, 3, 1}},
                                {{3, 4}, {2, 0}, {0, 3}},
                                {{5}, {3}, {4}},
                                {{2, 3, 4}, {1, 0, 2}, {0, 2, 1}},
                                {{4, 5}, {-1, 2}, {0, -2}}};
  for (const auto& c : cases)
    for (const auto mode : {PadMode::constant, PadMode::edge, PadMode::reflect}) {
      CAPTURE(c.dims);
      CAPTURE(static_cast<int>(mode));
      Dims to;
      for (std::size_t i = 0; i < c.dims.size(); ++i) to.push_back(c.dims[i] + c.begin[i] + c.end[i]);
      const auto x = oracle::normal(c.dims, 1), g = oracle::normal(to, 2);
      const double value = 7.5;
      Values y(g.size(), 99), want, gx(x.size(), 99), gx_want(x.size());
      oracle::for_each_index(to, [&](const Dims& index) {
        Dims from;
        bool inside = true;
        for (std::size_t i = 0; i < index.size(); ++i) {
          std::int64_t at = index[i] - c.begin[i];
          const std::int64_t last = c.dims[i] - 1;
          inside = inside && at >= 0 && at <= last;
          if (mode == PadMode::edge) at = std::clamp<std::int64_t>(at, 0, last);
          if (mode == PadMode::reflect) at = at < 0 ? -at : at > last ? 2 * last - at : at;
          from.push_back(at);
        }
        if (mode == PadMode::constant && !inside) {
          want.push_back(value);
          return;
        }
        want.push_back(x[oracle::flat(c.dims, from)]);
        gx_want[oracle::flat(c.dims, from)] += g[oracle::flat(to, index)];
      });
      kernels::pad(8, mode, c.dims, c.begin, c.end, &value, x.data(), y.data());
      CHECK(y == want);
      kernels::pad_adjoint<double>(mode, c.dims, c.begin, c.end, g.data(), gx.data());
      for (std::size_t i = 0; i < gx.size(); ++i) REQUIRE(gx[i] == doctest::Approx(gx_want[i]));
    }
  std::vector<double> x(2), y(6);
  CHECK_THROWS_AS(kernels::pad(8, PadMode::reflect, Dims{2}, Dims{2}, Dims{2}, x.data(), x.data(), y.data()),
                  Error);
}

TEST_CASE("gather and scatter_add along an axis, from the end too") {
  const auto x = counted<float>(2 * 5 * 3);
  const Dims indices{4, 0, -1, 2, -5};
  std::vector<float> y(2 * 5 * 3), back(2 * 5 * 3, 99), want(2 * 5 * 3);
  kernels::gather(4, 2, 5, 3, indices, x.data(), y.data());
  kernels::scatter_add<float>(2, 5, 3, indices, y.data(), back.data());
  for (std::size_t o = 0; o < 2; ++o)
    for (std::size_t k = 0; k < 5; ++k)
      for (std::size_t j = 0; j < 3; ++j) {
        const auto at = static_cast<std::size_t>(indices[k] < 0 ? indices[k] + 5 : indices[k]);
        CHECK(y[(o * 5 + k) * 3 + j] == x[(o * 5 + at) * 3 + j]);
        want[(o * 5 + at) * 3 + j] += x[(o * 5 + at) * 3 + j];
      }
  CHECK(back == want);
  CHECK_THROWS_WITH_AS(kernels::gather(4, 2, 5, 3, Dims{5}, x.data(), y.data()),
                       doctest::Contains("[gather] index 5 is outside an axis of extent 5"), Error);
  CHECK_THROWS_AS(kernels::scatter_add<float>(2, 5, 3, Dims{-6}, x.data(), y.data()), Error);
}

TEST_CASE("scatter_add adds in the order of the indices on any number of threads") {
  const auto g = oracle::as<float>(oracle::normal({500, 3000}, 1));
  Dims indices;
  for (std::int64_t i = 0; i < 500; ++i) indices.push_back(i * 7 % 4);
  CHECK(same_on_any_threads([&] {
    std::vector<float> y(4 * 3000);
    kernels::scatter_add<float>(1, 4, 3000, indices, g.data(), y.data());
    return y;
  }));
}

TEST_CASE("one_hot sets one place, or none for an index outside") {
  const Dims indices{1, -1, 5};
  std::vector<float> y(9, 99);
  kernels::one_hot<float, std::int64_t>(3, indices, y.data());
  CHECK(y == std::vector<float>{0, 1, 0, 0, 0, 1, 0, 0, 0});
}

TEST_CASE("cast converts between all types as static_cast does") {
  const std::vector<double> x{0, 1, 2.75, 100};
  for (const auto from : {DType::float32, DType::float64, DType::int32, DType::int64, DType::uint8,
                          DType::int8, DType::boolean})
    for (const auto to : {DType::float32, DType::float64, DType::int32, DType::int64, DType::uint8,
                          DType::int8, DType::boolean}) {
      CAPTURE(name_of(from));
      CAPTURE(name_of(to));
      std::array<std::byte, 32> start{}, end{};
      kernels::cast(DType::float64, from, 4, x.data(), start.data());
      kernels::cast(from, to, 4, start.data(), end.data());
      dispatch(from, [&]<class From>(From) {
        dispatch(to, [&]<class To>(To) {
          for (std::size_t i = 0; i < 4; ++i)
            CHECK(reinterpret_cast<const To*>(end.data())[i] == static_cast<To>(static_cast<From>(x[i])));
        });
      });
    }
}
