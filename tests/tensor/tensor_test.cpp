#include "rulegrad/tensor/tensor.hpp"

#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <memory>
#include <vector>

#include "rulegrad/support/error.hpp"

using namespace rulegrad;

TEST_CASE("a tensor is a value: writing to a copy leaves the original alone") {
  const Tensor original({2, 2}, {1.0F, 2.0F, 3.0F, 4.0F});
  Tensor copy = original;
  CHECK(copy.data() == original.data());
  copy.mutable_values<float>()[0] = 9.0F;
  CHECK(original.at(0) == 1.0);
  CHECK(copy.at(0) == 9.0);
  CHECK(reinterpret_cast<std::uintptr_t>(copy.data()) % 64 == 0);
}

TEST_CASE("borrowed memory is shared for reading and copied before writing") {
  auto owner = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3});
  Tensor borrowed = Tensor::borrow(DType::float64, {3}, owner->data(), owner);
  CHECK(static_cast<const void*>(borrowed.data()) == owner->data());
  borrowed.mutable_values<double>()[1] = 5;
  CHECK((*owner)[1] == 2.0);
  CHECK(borrowed.at(1) == 5.0);
  CHECK_THROWS_AS(
      (void)Tensor::borrow(DType::float64, {1}, reinterpret_cast<const char*>(owner->data()) + 4, owner),
      Error);
}

TEST_CASE("casts, reshapes and identity") {
  const Tensor x({3}, {1.5, -2.5, 0.0});
  CHECK(x.cast(DType::int64).values<std::int64_t>()[1] == -2);
  CHECK(identical(x.cast(DType::float32).cast(DType::float64), x));
  CHECK(x.reshaped({3, 1}).dims() == Dims{3, 1});
  CHECK_FALSE(identical(Tensor::scalar(DType::float64, 0.0), Tensor::scalar(DType::float64, -0.0)));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(identical(Tensor::scalar(DType::float64, nan), Tensor::scalar(DType::float64, nan)));
}

TEST_CASE("wrong uses of a tensor say what disagrees") {
  CHECK_THROWS_WITH_AS(Tensor({2, 2}, {1.0, 2.0}),
                       "[tensor] shape [2, 2] holds 4 elements but 2 values were given", Error);
  CHECK_THROWS_WITH_AS((void)Tensor(DType::float32, {2}).values<double>(),
                       "[tensor] float64 values were asked of a float32 tensor of shape [2]", Error);
  CHECK_THROWS_WITH_AS((void)Tensor(DType::float32, {2, 3}).reshaped({5}),
                       "[tensor] [2, 3] with 6 elements cannot take shape [5] with 5", Error);
  CHECK_THROWS_AS(Tensor(DType::float32, {-1}), Error);
}
