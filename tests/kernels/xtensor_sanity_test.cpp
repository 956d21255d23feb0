// Watches the traps of the toolchain that the kernels step around. When one of these fails, xtensor or the
// compiler has changed: see src/kernels/common/xt.hpp, and whether the way around is still needed.

#include <complex>
#include <doctest/doctest.h>
#include <type_traits>
#include <vector>
#include <xtensor-blas/xlinalg.hpp>
#include <xtensor/xbuilder.hpp>
#include <xtensor/xeval.hpp>
#include <xtensor/xview.hpp>

#include "kernels/common/xt.hpp"

TEST_CASE("a run-time shape gets a container of run-time rank") {
  using Made =
      xt::detail::xtype_for_shape<xt::dynamic_shape<std::size_t>>::type<double, xt::layout_type::row_major>;
  CHECK(std::is_same_v<Made, xt::xarray<double, xt::layout_type::row_major>>);
  const xt::xarray<double> a{{1, 2, 3}, {4, 5, 6}};
  const auto doubled = xt::eval(a + a);
  REQUIRE(doubled.dimension() == 2);
  CHECK(doubled.shape(0) == 2);
  CHECK(doubled.shape(1) == 3);
  CHECK(doubled(1, 2) == 12);
}

TEST_CASE("an immediate reduction of a run-time shape works") {
  const xt::xarray<double> a{{1, 2, 3}, {4, 5, 6}};
  const auto sums = xt::sum(a, {1}, xt::evaluation_strategy::immediate);
  REQUIRE(sums.dimension() == 1);
  CHECK(sums(0) == 6);
  CHECK(sums(1) == 15);
}

TEST_CASE("adapted memory is assigned in place without a copy") {
  const std::vector<float> x{-1, 2, -3, 4};
  std::vector<float> y(4);
  const std::array<std::size_t, 1> shape{4};
  auto out = xt::adapt(y.data(), 4, xt::no_ownership(), shape);
  xt::noalias(out) = xt::make_lambda_xfunction([](float v) { return v < 0 ? 0 : v; },
                                               xt::adapt(x.data(), 4, xt::no_ownership(), shape));
  CHECK(y == std::vector<float>{0, 2, 0, 4});
}

TEST_CASE(
    "xt::linalg::dot is still wrong for a matrix and the transpose of a view of it, so kernels do not use "
    "it") {
  const xt::xarray<double> a = xt::arange<double>(12.0).reshape({3, 4});
  const auto top = xt::view(a, xt::range(0, 2), xt::all());
  const auto product = xt::linalg::dot(a, xt::transpose(top));
  // 3x4 times 4x2 is 3x2; the shortcut for a * a^T compares only where the data begin.
  CHECK(product.shape(0) == 3);
  CHECK(product.shape(1) == 3);
}
