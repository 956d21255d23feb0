#include "rulegrad/tensor/xtensor.hpp"

#include <doctest/doctest.h>

#include "rulegrad/support/error.hpp"

using namespace rulegrad;

TEST_CASE("a tensor is seen as an xtensor expression without a copy") {
  const Tensor tensor({2, 3}, {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F});
  const auto view = as_xtensor<float>(tensor);
  CHECK(reinterpret_cast<const std::byte*>(&view(0, 0)) == tensor.data());
  CHECK(view.dimension() == 2);
  CHECK(view(1, 2) == 6.0F);
  CHECK_THROWS_AS((void)as_xtensor<double>(tensor), const Error&);
}

TEST_CASE("writing through an xtensor view changes the tensor alone, not its copies") {
  Tensor tensor({2, 2}, {1.0, 2.0, 3.0, 4.0});
  const Tensor copy = tensor;
  auto view = as_xtensor<double>(tensor);
  view += 1.0;
  CHECK(tensor.at(3) == 5.0);
  CHECK(copy.at(3) == 4.0);
}

TEST_CASE("a row-major xarray becomes a tensor without a copy") {
  xt::xarray<float> array{{1, 2, 3}, {4, 5, 6}};
  const float* memory = array.data();
  const Tensor tensor = to_tensor(std::move(array));
  CHECK(tensor.data() == reinterpret_cast<const std::byte*>(memory));
  CHECK(tensor.dims() == Dims{2, 3});
  CHECK(tensor.dtype() == DType::float32);
}

TEST_CASE("other layouts and expressions are copied in row-major order") {
  const xt::xarray<double, xt::layout_type::column_major> columns{{1, 2, 3}, {4, 5, 6}};
  const Tensor tensor = to_tensor(columns);
  CHECK(tensor.dims() == Dims{2, 3});
  for (std::int64_t i = 0; i < 6; ++i) CHECK(tensor.at(i) == static_cast<double>(i + 1));
  const xt::xarray<double> rows{{1, 2}, {3, 4}};
  CHECK(to_tensor(rows + rows).at(3) == 8.0);
}
