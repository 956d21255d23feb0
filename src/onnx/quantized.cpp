#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"
#include "onnx/windows.hpp"

/// Quantised operators as real arithmetic: what a file stores as small integers is held as the real numbers
/// they are, rounded where the file rounds, and gradients pass the roundings as if they were not there (the
/// straight-through estimate, Bengio et al. 2013, arXiv 1308.3432), and stop where a value saturates.
namespace rulegrad::io {
namespace {

/// A number, one for each index of `axis`, or one for each block along it, shaped to stand beside x.
Expr beside(const NodeContext& c, Expr parameter, const Shape& x, std::int64_t axis, std::int64_t block = 0) {
  if (parameter.shape().count().is(1)) return reshaped(c, parameter, {});
  const std::size_t place = checked_axis(c, axis, x.rank());
  if (parameter.shape().rank() == x.rank() && x.rank() > 1) {
    const std::int64_t blocks = parameter.shape()[place].factor, extent = x[place].factor;
    if (block == 0 && blocks > 0) block = (extent + blocks - 1) / blocks;
    if (block < 1 || blocks * block < extent || parameter.shape()[place].batch)
      c.fail(fmt::format("blocks of {} do not cover axis {} of {}", block, place, to_string(x)));
    std::vector<Dim> split = parameter.shape().dims(), wide, joined = split;
    split.insert(split.begin() + static_cast<std::ptrdiff_t>(place) + 1, Dim{1});
    wide = split;
    wide[place + 1] = Dim{block};
    joined[place] = Dim{blocks * block};
    const Expr repeated =
        reshaped(c, c.apply("expand", {reshaped(c, parameter, split)}, ShapeAttributes{Shape(wide)}), joined);
    if (blocks * block == extent) return repeated;
    return c.apply("slice", {repeated},
                   SliceAttributes{{static_cast<std::int64_t>(place)}, {0}, {extent}, {1}});
  }
  if (parameter.shape().rank() != 1)
    c.fail(fmt::format("scale and zero point {} do not fit {}", to_string(parameter.type()), to_string(x)));
  std::vector<Dim> dims(x.rank() - place, Dim{1});
  dims[0] = parameter.shape()[0];
  return reshaped(c, parameter, std::move(dims));
}

struct Range {
  double low, high;
};

/// Of the integers of an element type of ONNX, which may be narrower than any of ours.
Range range_of(const NodeContext& c, int onnx_type) {
  using onnx::TensorProto;
  switch (onnx_type) {
    case TensorProto::UINT8:
      return {0, 255};
    case TensorProto::INT8:
      return {-128, 127};
    case TensorProto::UINT16:
      return {0, 65535};
    case TensorProto::INT16:
      return {-32768, 32767};
    case TensorProto::INT32:
      return {-2147483648.0, 2147483647.0};
    case 21:
      return {0, 15};
    case 22:
      return {-8, 7};
    case 25:
      return {0, 3};
    case 26:
      return {-2, 1};
    default:
      break;
  }
  c.fail(fmt::format("element type {} as the quantised type is not supported", onnx_type));
}

/// clip(round(x / scale) + zero) as real numbers.
Expr quantized(const NodeContext& c, Expr x, Expr scale, std::optional<Expr> zero, Range range) {
  Expr y = c.apply("round_through", {binary(c, "div", x, scale)});
  if (zero) y = binary(c, "add", y, *zero);
  return c.apply("clip", {y}, ClipAttributes{range.low, range.high});
}

/// The element type of a zero point, as the file has it.
Range range_beside(NodeContext& c, std::size_t zero) {
  if (!c.has(zero)) return {0, 255};
  return range_of(c, c.importer().declared_element(c.input_name(zero), c.operand(zero).dtype()));
}

void dequantize(NodeContext& c) {
  const std::int64_t axis = c.integer("axis", 1), block = c.integer("block_size", 0);
  c.ignore({"output_dtype"});
  const Expr x = as_real(c, c.operand(0)), scale = as_real(c, c.operand(1));
  Expr y = x;
  if (c.has(2)) y = binary(c, "sub", y, beside(c, as_real(c, c.operand(2)), x.shape(), axis, block));
  c.result(binary(c, "mul", y, beside(c, scale, x.shape(), axis, block)));
}

void quantize(NodeContext& c) {
  const std::int64_t axis = c.integer("axis", 1), block = c.integer("block_size", 0),
                     named = c.integer("output_dtype", 0);
  c.ignore({"saturate", "precision"});
  const Expr x = as_real(c, c.operand(0)), scale = as_real(c, c.operand(1));
  const Range range = c.has(2)     ? range_beside(c, 2)
                      : named != 0 ? range_of(c, static_cast<int>(named))
                                   : Range{0, 255};
  std::optional<Expr> zero;
  if (c.has(2)) zero = beside(c, as_real(c, c.operand(2)), x.shape(), axis, block);
  c.result(quantized(c, x, beside(c, scale, x.shape(), axis, block), zero, range));
}

/// (x - zero) of the inputs from `at` on, times the scale.
Expr real_of(NodeContext& c, std::size_t value, std::size_t scale, std::size_t zero, std::int64_t axis) {
  const Expr x = as_real(c, c.operand(value));
  Expr y = x;
  if (c.has(zero)) y = binary(c, "sub", y, beside(c, as_real(c, c.operand(zero)), x.shape(), axis));
  return binary(c, "mul", y, beside(c, as_real(c, c.operand(scale)), x.shape(), axis));
}

Expr shifted(NodeContext& c, std::size_t value, std::size_t zero, std::int64_t axis) {
  const Expr x = as_real(c, c.operand(value));
  return c.has(zero) ? binary(c, "sub", x, beside(c, as_real(c, c.operand(zero)), x.shape(), axis)) : x;
}

Expr rounded_to(NodeContext& c, Expr y, std::size_t scale, std::size_t zero) {
  std::optional<Expr> shift;
  if (c.has(zero)) shift = beside(c, as_real(c, c.operand(zero)), y.shape(), 1);
  return quantized(c, y, beside(c, as_real(c, c.operand(scale)), y.shape(), 1), shift, range_beside(c, zero));
}

Expr convolution(NodeContext& c, Expr x, Expr w, Expr b) {
  const Ints kernel = spatial_extents(c, w.shape());
  Window window = read_window(c, x.shape(), kernel);
  resolve_auto_pad(c, x.shape(), window);
  return c.apply(
      "conv", {x, w, b},
      ConvAttributes{window.strides, window.begin, window.end, window.dilations, c.integer("group", 1)});
}

void qlinear_conv(NodeContext& c) {
  const Expr x = real_of(c, 0, 1, 2, 1), w = real_of(c, 3, 4, 5, 0);
  Expr b = c.scalar(0, x);
  if (c.has(8)) {
    const Expr scale = binary(c, "mul", reshaped(c, as_real(c, c.operand(1)), {}), as_real(c, c.operand(4)));
    b = binary(c, "mul", as_real(c, c.operand(8)),
               scale.shape().count().is(1) ? reshaped(c, scale, {}) : scale);
  }
  c.result(rounded_to(c, convolution(c, x, w, b), 6, 7));
}

void conv_integer(NodeContext& c) {
  const Expr x = shifted(c, 0, 2, 1), w = shifted(c, 1, 3, 0);
  c.result(convolution(c, x, w, c.scalar(0, x)));
}

Expr product(NodeContext& c, Expr a, Expr b) {
  if (c.is_static(b) && !c.is_static(a) && b.shape().rank() == 2)
    return c.apply("dense", {a, c.apply("transpose", {b}, TransposeAttributes{{1, 0}}), c.scalar(0, a)});
  return binary(c, "matmul", a, b);
}

void qlinear_matmul(NodeContext& c) {
  // One scale for each row of a, each column of b.
  const Expr a = real_of(c, 0, 1, 2, -2), b = real_of(c, 3, 4, 5, -1);
  c.result(rounded_to(c, product(c, a, b), 6, 7));
}

void matmul_integer(NodeContext& c) {
  const Expr a = shifted(c, 0, 2, -2), b = shifted(c, 1, 3, -1);
  c.result(product(c, a, b));
}

/// Scale and zero point from the smallest and the largest value; they count as given.
void dynamic_quantize(NodeContext& c) {
  const Expr x = c.operand(0);
  c.keep_apart(x.shape().has_batch(), "it takes the largest value of the whole batch");
  const Expr none = c.scalar(0, x);
  const Expr high = binary(c, "max", c.apply("amax", {x}, ReduceAttributes{{}, false}), none);
  const Expr low = binary(c, "min", c.apply("amin", {x}, ReduceAttributes{{}, false}), none);
  const Expr scale = c.apply("const", {binary(c, "div", binary(c, "sub", high, low), c.scalar(255, x))});
  const Expr zero =
      c.apply("const", {c.apply("clip", {c.apply("round", {binary(c, "over", c.apply("neg", {low}), scale)})},
                                ClipAttributes{0, 255})});
  c.result(quantized(c, x, scale, zero, {0, 255}));
  c.result(scale, 1);
  c.result(zero, 2);
}

/// a (op) b of two quantised values, rounded to a third scale.
Handler qlinear_binary(const char* op_name) {
  return [op_name](NodeContext& c) {
    c.result(rounded_to(c, binary(c, op_name, real_of(c, 0, 1, 2, 1), real_of(c, 3, 4, 5, 1)), 6, 7));
  };
}

Handler qlinear_unary(const char* op_name) {
  return [op_name](NodeContext& c) {
    const Expr x = real_of(c, 0, 1, 2, 1);
    const Attributes attributes = std::string_view(op_name) == "leaky_relu"
                                      ? Attributes(LeakyReluAttributes{c.real("alpha", 0.01)})
                                      : Attributes();
    c.result(rounded_to(c, c.apply(op_name, {x}, attributes), 3, 4));
  };
}

void qlinear_average(NodeContext& c) {
  const Expr x = real_of(c, 0, 1, 2, 1);
  if (c.integer("channels_last", 0) != 0) c.fail("channels_last is not supported");
  Ints axes;
  for (std::size_t axis = 2; axis < x.shape().rank(); ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  c.result(rounded_to(c, c.apply("mean", {x}, ReduceAttributes{axes, true}), 3, 4));
}

/// alpha op(A) op(B) + C, of quantised A, B and C; rounded if a scale of the result is given.
void qgemm(NodeContext& c) {
  Expr a = real_of(c, 0, 1, 2, 1), b = real_of(c, 3, 4, 5, 1);
  if (c.integer("transA", 0) != 0) a = c.apply("transpose", {a}, TransposeAttributes{{1, 0}});
  if (c.integer("transB", 0) != 0) b = c.apply("transpose", {b}, TransposeAttributes{{1, 0}});
  const double alpha = c.real("alpha", 1);
  Expr y = product(c, a, b);
  if (c.has(6)) {
    const Expr scale = binary(c, "mul", reshaped(c, as_real(c, c.operand(1)), {}), as_real(c, c.operand(4)));
    y = binary(c, "add", y,
               binary(c, "mul", as_real(c, c.operand(6)),
                      scale.shape().count().is(1) ? reshaped(c, scale, {}) : scale));
  }
  if (alpha != 1) y = binary(c, "mul", y, c.scalar(alpha, y));
  c.result(c.has(7) ? rounded_to(c, y, 7, 8) : y);
}

}  // namespace

void add_quantized(Handlers& h) {
  h["DequantizeLinear"] = h["com.microsoft.DequantizeLinear"] = dequantize;
  h["QuantizeLinear"] = h["com.microsoft.QuantizeLinear"] = quantize;
  h["QLinearConv"] = qlinear_conv;
  h["QLinearMatMul"] = qlinear_matmul;
  h["ConvInteger"] = conv_integer;
  h["MatMulInteger"] = matmul_integer;
  h["DynamicQuantizeLinear"] = dynamic_quantize;
  h["com.microsoft.QLinearAdd"] = qlinear_binary("add");
  h["com.microsoft.QLinearMul"] = qlinear_binary("mul");
  h["com.microsoft.QLinearSigmoid"] = qlinear_unary("sigmoid");
  h["com.microsoft.QLinearLeakyRelu"] = qlinear_unary("leaky_relu");
  h["com.microsoft.QLinearGlobalAveragePool"] = qlinear_average;
  h["com.microsoft.QGemm"] = qgemm;
}

}  // namespace rulegrad::io
