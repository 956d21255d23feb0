#include "rulegrad/tensor/shape.hpp"

#include <doctest/doctest.h>

#include "rulegrad/support/error.hpp"

using namespace rulegrad;

TEST_CASE("shapes print the batch as B and the sample axis in front") {
  CHECK(to_string(Shape{B, 3, 4}) == "[B, 3, 4]");
  CHECK(to_string(Shape({Dim{12, true}, 64}, true)) == "[S | 12*B, 64]");
  CHECK(to_string(Shape{}) == "[]");
}

TEST_CASE("a symbolic shape becomes concrete with the extents of a run") {
  const Shape shape({Dim{2, true}, 5}, true);
  CHECK(shape.at({.batch = 3, .samples = 7}) == Dims{7, 6, 5});
  CHECK_FALSE(shape.static_dims().has_value());
  CHECK(Shape{2, 5}.static_dims() == Dims{2, 5});
  CHECK(shape.count() == Dim{10, true});
  CHECK_THROWS_AS((void)Shape({B, B}).count(), Error);
}

TEST_CASE("broadcasting aligns the last axes and stretches ones") {
  CHECK(broadcast(Shape{B, 3, 4}, Shape{3, 1}) == Shape{B, 3, 4});
  CHECK(broadcast(Shape{1, 3}, Shape{B, 1}) == Shape{B, 3});
  CHECK(broadcast(Shape{}, Shape{B}) == Shape{B});
  CHECK_FALSE(broadcast(Shape{B, 3}, Shape{B, 4}).has_value());
  CHECK_FALSE(broadcast(Shape{B}, Shape{Dim{2, true}}).has_value());
  CHECK(broadcast(Shape({B}, true), Shape{B}) == Shape({B}, true));
}
