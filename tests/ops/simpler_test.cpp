// What Graph::apply leaves out because the bits stay the same, and what it must not.
#include <doctest/doctest.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

using namespace rulegrad;

namespace {

struct Fixture {
  Graph graph;
  Expr x = graph.input("x", {DType::float32, Shape{B, 3, 4}});
  Expr flat = graph.input("flat", {DType::float32, Shape{4}});

  Expr apply(const char* name, std::vector<Expr> operands, Attributes attributes = {}) {
    return graph.apply(op(name), std::move(operands), std::move(attributes));
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "movement that changes nothing is its operand") {
  CHECK(apply("reshape", {x}, ShapeAttributes{{B, 3, 4}}) == x);
  CHECK(apply("expand", {x}, ShapeAttributes{{B, 3, 4}}) == x);
  CHECK(apply("sum_to", {x}, ShapeAttributes{{B, 3, 4}}) == x);
  CHECK(apply("transpose", {x}, TransposeAttributes{{0, 1, 2}}) == x);
  CHECK(apply("cast", {x}, CastAttributes{DType::float32}) == x);
  CHECK(apply("identity", {x}) == x);
  CHECK(apply("slice", {x}, SliceAttributes{{1}, {0}, {3}, {1}}) == x);
  CHECK(apply("slice", {x}, SliceAttributes{}) == x);
  CHECK(apply("slice_vjp", {x}, SliceVjpAttributes{{1}, {0}, {3}, {1}, {B, 3, 4}}) == x);
  CHECK(apply("pad", {x}, PadAttributes{{0, 0, 0}, {0, 0, 0}, PadMode::reflect, 0}) == x);
  CHECK(apply("concat", {x}, AxisAttributes{1}) == x);
  CHECK(apply("accum", {x}) == x);
  CHECK(apply("sum", {x}, ReduceAttributes{{1}, false}) != x);
}

TEST_CASE_FIXTURE(Fixture, "movement that changes something stays") {
  CHECK(apply("slice", {x}, SliceAttributes{{1}, {2}, {-1}, {-1}}).is("slice"));
  CHECK(apply("pad", {x}, PadAttributes{{0, 0, 1}, {0, 0, 0}, PadMode::constant, 0}).is("pad"));
  CHECK(apply("cast", {x}, CastAttributes{DType::float64}).is("cast"));
  CHECK(apply("transpose", {x}, TransposeAttributes{{0, 2, 1}}).is("transpose"));
  CHECK(apply("accum", {x, x}).is("accum"));
}

TEST_CASE_FIXTURE(Fixture, "movement of movement merges") {
  const Expr once = apply("reshape", {x}, ShapeAttributes{{B, 12}});
  CHECK(apply("reshape", {once}, ShapeAttributes{{B, 6, 2}}) ==
        graph.make(op("reshape"), {x}, ShapeAttributes{{B, 6, 2}}));
  CHECK(apply("reshape", {once}, ShapeAttributes{{B, 3, 4}}) == x);
  const Expr turned = apply("transpose", {x}, TransposeAttributes{{1, 2, 0}});
  CHECK(apply("transpose", {turned}, TransposeAttributes{{2, 0, 1}}) == x);
  CHECK(apply("transpose", {turned}, TransposeAttributes{{0, 2, 1}}) ==
        graph.make(op("transpose"), {x}, TransposeAttributes{{1, 0, 2}}));
  const Expr wide = apply("expand", {flat}, ShapeAttributes{{3, 4}});
  CHECK(apply("expand", {wide}, ShapeAttributes{{B, 3, 4}}) ==
        graph.make(op("expand"), {flat}, ShapeAttributes{{B, 3, 4}}));
  CHECK(apply("neg", {apply("neg", {x})}) == x);
}

TEST_CASE_FIXTURE(Fixture, "an invalid reshape of a reshape is refused, not merged") {
  const Expr once = apply("reshape", {x}, ShapeAttributes{{B, 12}});
  CHECK_THROWS_WITH(apply("reshape", {once}, ShapeAttributes{{B, 5}}),
                    doctest::Contains("12*B elements but shape [B, 5] has 5*B"));
  const Expr wide = apply("expand", {flat}, ShapeAttributes{{3, 4}});
  CHECK_THROWS_WITH(apply("expand", {wide}, ShapeAttributes{{B, 5, 4}}),
                    doctest::Contains("does not stretch to [B, 5, 4]"));
}

TEST_CASE_FIXTURE(Fixture, "neutral constants vanish where the other operand has the result's type") {
  const Expr one = graph.scalar(1), zero = graph.scalar(0), minus_zero = graph.scalar(-0.0);
  CHECK(apply("mul", {x, one}) == x);
  CHECK(apply("mul", {one, x}) == x);
  CHECK(apply("div", {x, one}) == x);
  CHECK(apply("over", {x, one}) == x);
  CHECK(apply("pow", {x, one}) == x);
  CHECK(apply("add", {x, zero}) == x);
  CHECK(apply("add", {zero, x}) == x);
  CHECK(apply("add", {x, minus_zero}) == x);
  CHECK(apply("sub", {x, zero}) == x);
  CHECK(apply("mul", {x, graph.constant(Tensor::full(DType::float32, {3, 1}, 1))}) == x);

  CHECK(apply("mul", {x, zero}).is("mul"));
  CHECK(apply("div", {one, x}).is("div"));
  CHECK(apply("pow", {one, x}).is("pow"));
  CHECK(apply("sub", {zero, x}).is("sub"));
  CHECK(apply("mul", {flat, graph.constant(Tensor::full(DType::float32, {2, 4}, 1))}).shape() == Shape{2, 4});
}

TEST_CASE_FIXTURE(Fixture, "a choice between equals is one of them") {
  const Expr c = apply("greater", {x, graph.scalar(0)});
  CHECK(apply("where", {c, x, x}) == x);
  CHECK(apply("where", {c, flat, flat}).is("where"));
}

TEST_CASE_FIXTURE(Fixture, "reductions of single values and of fills need no reduction") {
  const Expr column = graph.input("column", {DType::float32, Shape{B, 1, 4}});
  CHECK(apply("sum", {column}, ReduceAttributes{{1}, true}) == column);
  CHECK(apply("amax", {column}, ReduceAttributes{{1}, false}) ==
        apply("reshape", {column}, ShapeAttributes{{B, 4}}));
  const Expr ones = graph.make(op("fill"), {}, FillAttributes{1, DType::float32, Shape{B, 3, 4}});
  CHECK(apply("sum", {ones}, ReduceAttributes{{1, 2}, false}) ==
        graph.make(op("fill"), {}, FillAttributes{12, DType::float32, Shape{B}}));
  CHECK(apply("sum", {ones}, ReduceAttributes{{0}, false}).is("sum"));
  const Expr tenths = graph.make(op("fill"), {}, FillAttributes{0.1, DType::float32, Shape{3, 4}});
  CHECK(apply("sum", {tenths}, ReduceAttributes{{1}, false}).is("sum"));
  CHECK(apply("reshape", {ones}, ShapeAttributes{{B, 12}}).is("fill"));
  CHECK(apply("expand", {tenths}, ShapeAttributes{{B, 3, 4}}).is("fill"));
}

TEST_CASE_FIXTURE(Fixture, "sampled operands are simplified as others are") {
  const Expr s = graph.input("s", {DType::float32, Shape({B, 3}, true)});
  CHECK(apply("reshape", {s}, ShapeAttributes{{B, 3}}) == s);
  CHECK(apply("mul", {s, graph.scalar(1)}) == s);
  CHECK(apply("where", {apply("greater", {s, s}), s, s}) == s);
}
