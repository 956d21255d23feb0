#include "rulegrad/ops/build.hpp"

#include <numeric>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

Expr apply(const char* name, std::vector<Expr> operands, Attributes attributes = {}) {
  Graph& graph = operands.front().graph();
  return graph.apply(op(name), std::move(operands), std::move(attributes));
}

Expr reduce(const char* name, Expr x, Ints axes, bool keep) {
  if (axes.empty()) {
    axes.resize(x.shape().rank());
    std::iota(axes.begin(), axes.end(), 0);
  }
  return apply(name, {x}, ReduceAttributes{std::move(axes), keep});
}

}  // namespace

Expr operator-(Expr x) {
  return apply("neg", {x});
}
Expr operator+(Expr a, Operand b) {
  return apply("add", {a, b.in(a)});
}
Expr operator-(Expr a, Operand b) {
  return apply("sub", {a, b.in(a)});
}
Expr operator*(Expr a, Operand b) {
  return apply("mul", {a, b.in(a)});
}
Expr operator/(Expr a, Operand b) {
  return apply("div", {a, b.in(a)});
}
Expr operator+(double a, Expr b) {
  return apply("add", {Operand(a).in(b), b});
}
Expr operator-(double a, Expr b) {
  return apply("sub", {Operand(a).in(b), b});
}
Expr operator*(double a, Expr b) {
  return apply("mul", {Operand(a).in(b), b});
}
Expr operator/(double a, Expr b) {
  return apply("div", {Operand(a).in(b), b});
}

Expr dense(Expr x, Expr w, Operand b) {
  return apply("dense", {x, w, b.in(w)});
}
Expr matmul(Expr a, Expr b, MatmulAttributes attributes) {
  return apply("matmul", {a, b}, attributes);
}
Expr conv(Expr x, Expr w, Operand b, ConvAttributes attributes) {
  return apply("conv", {x, w, b.in(w)}, std::move(attributes));
}
Expr conv_transpose(Expr x, Expr w, Operand b, ConvTransposeAttributes attributes) {
  return apply("conv_transpose", {x, w, b.in(w)}, std::move(attributes));
}
Expr max_pool(Expr x, PoolAttributes attributes) {
  return apply("max_pool", {x}, std::move(attributes));
}
Expr avg_pool(Expr x, AvgPoolAttributes attributes) {
  return apply("avg_pool", {x}, std::move(attributes));
}
Expr batch_norm(Expr x, Expr scale, Expr bias, Expr mean, Expr var, BatchNormAttributes attributes) {
  return apply("batch_norm", {x, scale, bias, mean, var}, attributes);
}

Expr relu(Expr x) {
  return apply("relu", {x});
}
Expr sigmoid(Expr x) {
  return apply("sigmoid", {x});
}
Expr tanh(Expr x) {
  return apply("tanh", {x});
}
Expr exp(Expr x) {
  return apply("exp", {x});
}
Expr log(Expr x) {
  return apply("log", {x});
}
Expr sqrt(Expr x) {
  return apply("sqrt", {x});
}
Expr abs(Expr x) {
  return apply("abs", {x});
}
Expr max(Expr a, Operand b) {
  return apply("max", {a, b.in(a)});
}
Expr min(Expr a, Operand b) {
  return apply("min", {a, b.in(a)});
}
Expr softmax(Expr x, std::int64_t axis) {
  return apply("softmax", {x}, AxisAttributes{axis});
}
Expr log_softmax(Expr x, std::int64_t axis) {
  return apply("log_softmax", {x}, AxisAttributes{axis});
}

Expr sum(Expr x, Ints axes, bool keep) {
  return reduce("sum", x, std::move(axes), keep);
}
Expr mean(Expr x, Ints axes, bool keep) {
  return reduce("mean", x, std::move(axes), keep);
}
Expr amax(Expr x, Ints axes, bool keep) {
  return reduce("amax", x, std::move(axes), keep);
}

Expr reshape(Expr x, Shape shape) {
  return apply("reshape", {x}, ShapeAttributes{std::move(shape)});
}
Expr flatten(Expr x) {
  Dim rest{1};
  for (std::size_t axis = 1; axis < x.shape().rank(); ++axis)
    rest = Dim(rest.factor * x.shape()[axis].factor, rest.batch || x.shape()[axis].batch);
  return reshape(x, Shape{x.shape()[0], rest});
}
Expr transpose(Expr x, Ints perm) {
  return apply("transpose", {x}, TransposeAttributes{std::move(perm)});
}
Expr concat(std::span<const Expr> parts, std::int64_t axis) {
  if (parts.empty()) throw Error(ErrorCode::invalid_argument, "[concat] needs at least one part");
  return apply("concat", {parts.begin(), parts.end()}, AxisAttributes{axis});
}
Expr one_hot(Expr index, std::int64_t depth, DType dtype) {
  return apply("one_hot", {index}, OneHotAttributes{depth, dtype});
}

}  // namespace rulegrad
