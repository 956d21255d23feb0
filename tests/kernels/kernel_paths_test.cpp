#include "kernels/kernel_paths.hpp"

#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/invoke.hpp"

using namespace rulegrad;

namespace {

const KernelPath& path(std::string_view name) {
  const auto paths = kernel_paths();
  const auto found = std::ranges::find(paths, name, &KernelPath::name);
  REQUIRE(found != paths.end());
  return **found;
}

Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor operands[] = {a, b};
  return compute(*Kernels::portable().at("matmul"), "product", operands,
                 {DType::float32, Shape{a.dims()[0], b.dims()[1]}}, MatmulAttributes{}, false);
}

}  // namespace

TEST_CASE("what chooses goes around a closed path, at last to the plain kernel, with the same result") {
  const Tensor a = Tensor::full(DType::float32, {40, 64}, 2), b = Tensor::full(DType::float32, {64, 48}, 3);
  const KernelPath& tiles = path("matmul: tiles");
  const std::uint64_t before = tiles.count();
  (void)product(a, b);
  CHECK(tiles.count() == before + 1);
  {
    const ClosedWhile closed(tiles);
    CHECK_FALSE(tiles.open());
    CHECK_THROWS_AS(tiles.taken(), ClosedPath);
    const Tensor c = product(a, b);
    for (std::int64_t i = 0; i < c.size(); ++i) REQUIRE(c.at(i) == 384);
  }
  CHECK(tiles.count() == before + 1);
  CHECK(tiles.open());
}

TEST_CASE("paths have names of their own") {
  const auto paths = kernel_paths();
  CHECK(std::ranges::adjacent_find(paths, {}, &KernelPath::name) == paths.end());
}
