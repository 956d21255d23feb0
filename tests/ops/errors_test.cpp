// What operators refuse, in their words.
#include <doctest/doctest.h>
#include <limits>
#include <string>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

constexpr DType f32 = DType::float32, f64 = DType::float64, i64 = DType::int64, boolean = DType::boolean;

Attributes fitting(const OpSchema& schema, const Attributes& attributes) {
  return &attributes.type() == schema.attributes ? attributes : Attributes::make(*schema.attributes, {});
}

std::string refusal(const std::string& name, const std::vector<Type>& operands,
                    const Attributes& attributes = {}) {
  try {
    (void)op(name).infer(operands, fitting(op(name), attributes));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

Shape inferred(const std::string& name, const std::vector<Type>& operands,
               const Attributes& attributes = {}) {
  return op(name).infer(operands, fitting(op(name), attributes)).shape;
}

}  // namespace

TEST_CASE("elementwise operators name the operand and its type") {
  CHECK(refusal("tanh", {{i64, {B, 3}}}) ==
        "[tanh] x must be float32 or float64 but is int64[B, 3]; cast it");
  CHECK(refusal("log", {{boolean, {B, 3}}}) ==
        "[log] x must be float32 or float64 but is boolean[B, 3]; cast it");
  CHECK(refusal("neg", {{boolean, {3}}}) ==
        "[neg] x must be float32, float64, int32 or int64 but is boolean[3]; cast it");
  CHECK(refusal("logical_not", {{f32, {3}}}) ==
        "[logical_not] x must be boolean but is float32[3]; compare it with something");
  CHECK(refusal("clip", {{f32, {3}}}, ClipAttributes{2, 1}) == "[clip] low 2 must not be above high 1");
  CHECK(refusal("prelu", {{f32, {B, 3}}, {f32, {2, 3}}}) ==
        "[prelu] slope float32[2, 3] does not broadcast to x float32[B, 3]: aligned at the last axis, each "
        "of its extents must be "
        "that of x or 1");
  CHECK(refusal("prelu", {{f32, {3}}, {f32, {4, 3}}}) ==
        "[prelu] slope float32[4, 3] does not broadcast to x float32[3]: aligned at the last axis, each of "
        "its extents must be that "
        "of x or 1");
}

TEST_CASE("arithmetic, comparisons and conditions show both operands") {
  CHECK(refusal("mul", {{f32, {B, 3}}, {f64, {3}}}) ==
        "[mul] operands must have one dtype but are float32[B, 3] and float64[3]; cast one of them");
  CHECK(refusal("div", {{boolean, {B, 3}}, {boolean, {3}}}) ==
        "[div] a must be float32, float64, int32 or int64 but is boolean[B, 3]; cast it");
  CHECK(refusal("over", {{i64, {3}}, {i64, {3}}}) ==
        "[over] a must be float32 or float64 but is int64[3]; cast it");
  CHECK(refusal("less", {{boolean, {3}}, {boolean, {3}}}) ==
        "[less] booleans such as a boolean[3] have no order; cast them");
  CHECK(refusal("equal", {{boolean, {3}}, {boolean, {3}}}) == "accepted");
  CHECK(refusal("greater", {{f32, {B, 2}}, {f32, {B, 3}}}) ==
        "[greater] shapes [B, 2] and [B, 3] do not broadcast: aligned at the last axis, two extents must be "
        "equal or one of them 1");
  CHECK(refusal("logical_and", {{boolean, {3}}, {f32, {3}}}) ==
        "[logical_and] b must be boolean but is float32[3]; compare it with something");
  CHECK(refusal("where", {{f32, {3}}, {f32, {3}}, {f32, {3}}}) ==
        "[where] c must be boolean but is float32[3]; compare it with something");
  CHECK(refusal("where", {{boolean, {3}}, {f32, {3}}, {i64, {3}}}) ==
        "[where] operands must have one dtype but are float32[3] and int64[3]; cast one of them");
  CHECK(refusal("accum", {{f32, {B, 3}}, {f32, {B, 3}}, {f32, {B, 1}}}) ==
        "[accum] operands must have one dtype and shape but operand 0 is float32[B, 3] and operand 2 is "
        "float32[B, 1]");
}

TEST_CASE("reductions name the axis, and drop the batch with the axis that holds it") {
  CHECK(refusal("sum", {{f32, {B, 3}}}, ReduceAttributes{{2}, false}) ==
        "[sum] axis 2 does not exist in an operand of 2 axes");
  CHECK(refusal("mean", {{f32, {B, 3}}}, ReduceAttributes{{1, -1}, false}) ==
        "[mean] axis 1 is named twice in axes [1, -1]");
  CHECK(inferred("sum", {{f32, {B, 3}}}, ReduceAttributes{{0}, false}) == Shape{3});
  CHECK(inferred("amax", {{f32, {B, 3, 4}}}, ReduceAttributes{{-1, 1}, true}) == Shape{B, 1, 1});
  CHECK(inferred("mean", {{f32, {B, 3, 4}}}, ReduceAttributes{}) == Shape{});
  CHECK(inferred("first_max", {{f32, {B, 3, 4}}}, ReduceAttributes{{1, 2}, false}) == Shape{B, 3, 4});
  CHECK(inferred("argmax", {{f32, {B, 3, 4}}}, ArgAttributes{1, true}) == Shape{B, 1, 4});
  CHECK(refusal("argmax", {{f32, {B, 3}}}, ArgAttributes{0, false}) ==
        "[argmax] axis 0 of x float32[B, 3] has the extent B; an index needs a fixed extent of 1 or more");
  CHECK(refusal("sum_to", {{f32, {B, 3}}}, ShapeAttributes{{4}}) ==
        "[sum_to] x float32[B, 3] cannot be summed to [4]: aligned at the last axis, each extent must be "
        "that of x or 1");
  CHECK(inferred("sum_to", {{f32, {B, 3, 4}}}, ShapeAttributes{{3, 1}}) == Shape{3, 1});
  CHECK(refusal("quantile", {{f32, {3}}}, QuantileAttributes{1.5}) ==
        "[quantile] q is 1.5 but must lie in [0, 1]");
  CHECK(refusal("quantile", {{f32, {}}}) == "[quantile] x float32[] has no axis of samples");
  CHECK(inferred("quantile", {{f32, {B, 3, 4}}}) == Shape{B, 1, 1});
}

TEST_CASE("reshapes count with the symbolic batch") {
  const Type x{f32, {B, 3, 4}};
  CHECK(inferred("reshape", {x}, ShapeAttributes{{B, 12}}) == Shape{B, 12});
  CHECK(inferred("reshape", {x}, ShapeAttributes{{Dim(12, true)}}) == Shape{Dim(12, true)});
  CHECK(inferred("reshape", {x}, ShapeAttributes{{Dim(3, true), 4}}) == Shape{Dim(3, true), 4});
  CHECK(refusal("reshape", {{f32, {B, 3}}}, ShapeAttributes{{6}}) ==
        "[reshape] x float32[B, 3] has 3*B elements but shape [6] has 6");
  CHECK(refusal("reshape", {{f32, {B, 3}}}, ShapeAttributes{{B, 4}}) ==
        "[reshape] x float32[B, 3] has 3*B elements but shape [B, 4] has 4*B");
  CHECK(refusal("reshape", {{f32, {B, 3}}}, ShapeAttributes{{B, B}}) ==
        "[reshape] the result [B, B] of x float32[B, 3] would hold the batch extent twice");
}

TEST_CASE("movement operators name axis, operand and both shapes") {
  CHECK(refusal("expand", {{f32, {B, 3}}}, ShapeAttributes{{B, 4}}) ==
        "[expand] x float32[B, 3] does not stretch to [B, 4]: aligned at the last axis, each extent of x "
        "must be that of the shape or 1");
  CHECK(inferred("expand", {{f32, {1, 3}}}, ShapeAttributes{{B, 3}}) == Shape{B, 3});
  CHECK(refusal("transpose", {{f32, {B, 3}}}, TransposeAttributes{{0, 0}}) ==
        "[transpose] perm [0, 0] must name each of the 2 axes of x float32[B, 3] once");
  CHECK(inferred("transpose", {{f32, {B, 3, 4}}}, TransposeAttributes{{2, 0, 1}}) == Shape{4, B, 3});
  CHECK(inferred("transpose", {{f32, {B, 3, 4}}}) == Shape{4, 3, B});
  CHECK(refusal("concat", {{f32, {B, 3, 4}}, {f32, {B, 2, 5}}}, AxisAttributes{1}) ==
        "[concat] operands must agree in every axis but 1 but operand 0 float32[B, 3, 4] and operand 1 "
        "float32[B, 2, 5] differ in axis 2");
  CHECK(refusal("concat", {{f32, {B, 3}}, {f32, {B, 3, 1}}}, AxisAttributes{1}) ==
        "[concat] operands must have the same number of axes but operand 0 is float32[B, 3] and operand 1 is "
        "float32[B, 3, 1]");
  CHECK(refusal("concat", {{f32, {B, 3}}, {f32, {B, 3}}}, AxisAttributes{0}) ==
        "[concat] axis 0 of operand 0 float32[B, 3] is the batch extent B; only axes of fixed extents can be "
        "joined");
  CHECK(inferred("concat", {{f32, {B, 3}}, {f32, {B, 4}}}, AxisAttributes{-1}) == Shape{B, 7});
}

TEST_CASE("slices and pads stay within fixed extents and leave the batch whole") {
  const Type x{f32, {B, 3}};
  CHECK(refusal("slice", {x}, SliceAttributes{{1}, {0, 1}, {3}, {1}}) ==
        "[slice] axes, starts, stops and steps must be equally long but have 1, 2, 1 and 1 entries");
  CHECK(refusal("slice", {x}, SliceAttributes{{0}, {0}, {1}, {1}}) ==
        "[slice] axis 0 of x float32[B, 3] is the batch extent B, which can only be taken whole: leave it "
        "out of axes");
  CHECK(refusal("slice", {x}, SliceAttributes{{1}, {1}, {7}, {1}}) ==
        "[slice] start 1, stop 7 and step 1 do not lie within axis 1 of x float32[B, 3], whose extent is 3");
  CHECK(refusal("slice", {x}, SliceAttributes{{1}, {1}, {2}, {0}}) ==
        "[slice] start 1, stop 2 and step 0 do not lie within axis 1 of x float32[B, 3], whose extent is 3");
  CHECK(inferred("slice", {{f32, {B, 7}}}, SliceAttributes{{1}, {6}, {-1}, {-2}}) == Shape{B, 4});
  CHECK(refusal("slice_vjp", {{f32, {B, 4}}}, SliceVjpAttributes{{1}, {0}, {3}, {1}, {B, 5}}) ==
        "[slice_vjp] g float32[B, 4] must have the shape [B, 3] that the slice of [B, 5] has");
  CHECK(refusal("pad", {x}, PadAttributes{{1}, {1}, {}, 0}) ==
        "[pad] begin and end need an entry for each of the 2 axes of x float32[B, 3] but have 1 and 1");
  CHECK(refusal("pad", {x}, PadAttributes{{1, 0}, {0, 0}, {}, 0}) ==
        "[pad] axis 0 of x float32[B, 3] is the batch extent B, which cannot be padded");
  CHECK(refusal("pad", {x}, PadAttributes{{0, 3}, {0, 0}, PadMode::reflect, 0}) ==
        "[pad] reflection by 3 and 0 along axis 1 of x float32[B, 3] needs more than 3 elements there");
  CHECK(refusal("pad", {x}, PadAttributes{{0, -2}, {0, -1}, {}, 0}) ==
        "[pad] padding by -2 and -1 leaves nothing of axis 1 of x float32[B, 3]");
  CHECK(inferred("pad_vjp", {{f32, {B, 6}}}, PadVjpAttributes{{0, 1}, {0, 2}, {}}) == Shape{B, 3});
}

TEST_CASE("a number that the elements cannot be is refused: it has no conversion") {
  const auto padded = [](DType dtype, double value) {
    return refusal("pad", {{dtype, {3}}}, PadAttributes{{2}, {1}, PadMode::constant, value});
  };
  CHECK(padded(i64, 7.1e300) == "[pad] value 7.1e+300 is no int64: give a number that the elements can be");
  CHECK(padded(i64, 0.17) == "[pad] value 0.17 is no int64: give a number that the elements can be");
  CHECK(padded(i64, 9223372036854775808.0).find("is no int64") != std::string::npos);
  CHECK(padded(i64, -9223372036854775808.0) == "accepted");
  CHECK(padded(DType::uint8, -1).find("is no uint8") != std::string::npos);
  CHECK(padded(DType::uint8, 255) == "accepted");
  CHECK(padded(DType::int32, std::numeric_limits<double>::quiet_NaN()).find("is no int32") !=
        std::string::npos);
  CHECK(padded(DType::float32, 7.1e300) == "accepted");
  CHECK(refusal("pad", {{i64, {3}}}, PadAttributes{{2}, {1}, PadMode::edge, 0.5}) == "accepted");
  CHECK(refusal("fill", {}, FillAttributes{2, boolean, {3}}).find("[fill] value 2 is no bool") == 0);
  CHECK(refusal("fill", {}, FillAttributes{1, boolean, {3}}) == "accepted");
  CHECK_THROWS_WITH_AS((void)Tensor::full(i64, {2}, 1e19), "[tensor] 1e+19 is no int64", Error);
}

TEST_CASE("indexing needs integer indices and axes of fixed extent") {
  CHECK(refusal("gather", {{f32, {B, 3}}, {f32, {2}}}, AxisAttributes{1}) ==
        "[gather] i must be int32 or int64 but is float32[2]; cast it");
  CHECK(refusal("gather", {{f32, {B, 3}}, {i64, {2}}}, AxisAttributes{0}) ==
        "[gather] axis 0 of x float32[B, 3] is the batch extent B; indices need an axis of fixed extent");
  CHECK(
      refusal("gather", {{f32, {B, 3}}, {i64, {B, 2}}}, AxisAttributes{1}) ==
      "[gather] the result [B, B, 2] of x float32[B, 3] and i int64[B, 2] would hold the batch extent twice");
  CHECK(inferred("gather", {{f32, {100, 8}}, {i64, {B, 5}}}, AxisAttributes{0}) == Shape{B, 5, 8});
  CHECK(inferred("scatter_add", {{f32, {B, 5, 8}}, {i64, {B, 5}}}, ScatterAttributes{0, 100}) ==
        Shape{100, 8});
  CHECK(refusal("scatter_add", {{f32, {B, 5, 8}}, {i64, {B, 4}}}, ScatterAttributes{0, 100}) ==
        "[scatter_add] the axes of i int64[B, 4] must stand at axis 0 of g float32[B, 5, 8], but axis 1 "
        "there is 5");
  CHECK(refusal("one_hot", {{i64, {B}}}, OneHotAttributes{0, f32}) ==
        "[one_hot] depth is 0 but must be 1 or more");
  CHECK(inferred("one_hot", {{i64, {B}}}, OneHotAttributes{7, f32}) == Shape{B, 7});
}

TEST_CASE("resizing names the spatial axes it was not told about") {
  CHECK(refusal("resize", {{f32, {B, 3}}}, ResizeAttributes{{4}, {}, {}, {}, {}}) ==
        "[resize] x float32[B, 3] must be [N, C, spatial...] with one to three spatial axes");
  CHECK(refusal("resize", {{f32, {B, 3, 5, 5}}}, ResizeAttributes{{4}, {}, {}, {}, {}}) ==
        "[resize] spatial [4] must have an entry for each of the 2 spatial axes of x float32[B, 3, 5, 5]");
  CHECK(refusal("resize", {{f32, {B, 3, 5}}}, ResizeAttributes{{0}, {}, {}, {}, {}}) ==
        "[resize] spatial [0] must be 1 or more in every entry");
  CHECK(refusal("resize_vjp", {{f32, {B, 3, 5}}}, ResizeVjpAttributes{{4}, {}, {}, {}, {}, {2}}) ==
        "[resize_vjp] g float32[B, 3, 5] must have the spatial extents [4] that the resize gave");
  CHECK(inferred("resize", {{f32, {B, 3, 5, 5}}}, ResizeAttributes{{8, 9}, {}, {}, {}, {}}) ==
        Shape{B, 3, 8, 9});
}
