#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"

#include "onnx/node_context.hpp"
#include "onnx/windows.hpp"
#include "tensor/checked.hpp"

namespace rulegrad::io {
namespace {

bool all_zero(Expr expr) {
  if (const auto* fill = fill_of(expr)) return fill->value == 0;
  const Tensor* array = array_of(expr);
  if (array == nullptr || !is_floating(expr.dtype())) return false;
  for (std::int64_t i = 0; i < array->size(); ++i)
    if (array->at(i) != 0) return false;
  return true;
}

/// A bias of zeros is no bias, and that is the number 0; but for one that the file names: it may be trained.
Expr bias_of(const NodeContext& c, Expr bias) {
  return !bias->apart && all_zero(bias) ? c.scalar(0, bias) : bias;
}

/// The bias as one number a channel if that is what it holds: leading extents of 1 go, one number is
/// repeated.
Expr as_vector(const NodeContext& c, Expr bias, Dim channels) {
  const Shape& shape = bias.shape();
  const bool leading_ones = std::all_of(shape.dims().begin(), shape.dims().end() - (shape.rank() > 0 ? 1 : 0),
                                        [](Dim dim) { return dim.is(1); });
  if (!leading_ones) return bias;
  if (shape.rank() > 1) bias = reshaped(c, bias, {shape[shape.rank() - 1]});
  if (bias.shape().count().is(1) && !channels.is(1))
    bias = c.apply("expand", {bias}, ShapeAttributes{Shape{channels}});
  return bias.shape().rank() == 0 ? reshaped(c, bias, {1}) : bias;
}

/// w^T of a matrix.
Expr transposed(const NodeContext& c, Expr w) {
  if (const auto* fill = fill_of(w))
    return c.apply("fill", {},
                   FillAttributes{fill->value, fill->dtype, Shape{fill->shape[1], fill->shape[0]}});
  return c.apply("transpose", {w}, TransposeAttributes{{1, 0}});
}

Ints kernel_of(const NodeContext& c, Expr w) {
  if (w.shape().rank() < 3)
    c.fail(fmt::format("weight must be [out, in, kernel...] but is {}", to_string(w.type())));
  return spatial_extents(c, w.shape());
}

void conv(NodeContext& c) {
  const Expr x = c.operand(0), w = c.operand(1);
  const Ints kernel = kernel_of(c, w);
  Window window = read_window(c, x.shape(), kernel);
  if (window.kernel != kernel)
    c.fail(fmt::format("kernel_shape {} is not that of the weight {}", to_string(window.kernel),
                       to_string(w.type())));
  resolve_auto_pad(c, x.shape(), window);
  const Expr b = c.has(2) ? bias_of(c, c.operand(2)) : c.scalar(0, x);
  c.result(c.apply(
      "conv", {x, w, b},
      ConvAttributes{window.strides, window.begin, window.end, window.dilations, c.integer("group", 1)}));
}

void conv_transpose(NodeContext& c) {
  const Expr x = c.operand(0), w = c.operand(1);
  const Ints kernel = kernel_of(c, w);
  Window window = read_window(c, x.shape(), kernel);
  if (window.kernel != kernel)
    c.fail(fmt::format("kernel_shape {} is not that of the weight {}", to_string(window.kernel),
                       to_string(w.type())));
  const Ints in = spatial_extents(c, x.shape());
  const Ints extra = c.integers("output_padding", Ints(in.size(), 0));
  Ints spatial = c.integers("output_shape");
  if (extra.size() != in.size() || (!spatial.empty() && spatial.size() < in.size()))
    c.fail("output_padding and output_shape need a number for each spatial axis");
  // Some exporters write the channels into output_shape too.
  if (spatial.size() > in.size())
    spatial.erase(spatial.begin(), spatial.end() - static_cast<std::ptrdiff_t>(in.size()));
  const bool same = window.auto_pad.starts_with("SAME");
  const bool given = !spatial.empty();
  for (std::size_t axis = 0; axis < in.size(); ++axis) {
    const std::int64_t full =
        (in[axis] - 1) * window.strides[axis] + window.dilations[axis] * (kernel[axis] - 1) + 1 + extra[axis];
    if (!given && !same) {
      if (window.auto_pad == "VALID") window.begin[axis] = window.end[axis] = 0;
      spatial.push_back(full - window.begin[axis] - window.end[axis]);
      continue;
    }
    if (!given) spatial.push_back(in[axis] * window.strides[axis]);
    const std::int64_t padding = std::max<std::int64_t>(0, full - spatial[axis]);
    window.begin[axis] = window.auto_pad == "SAME_UPPER" ? padding / 2 : padding - padding / 2;
    window.end[axis] = padding - window.begin[axis];
  }
  const Expr b = c.has(2) ? bias_of(c, c.operand(2)) : c.scalar(0, x);
  c.result(c.apply("conv_transpose", {x, w, b},
                   ConvTransposeAttributes{window.strides, window.begin, window.end, window.dilations,
                                           c.integer("group", 1), spatial}));
}

/// Patches [N, C * cells, places] added up to a picture: the transposed convolution whose weight puts each cell in its place.
void col2im(NodeContext& c) {
  const Expr x = c.operand(0);
  const Ints image = c.integers_of(1, "image_shape"), block = c.integers_of(2, "block_shape");
  const std::size_t rank = image.size();
  const Ints strides = c.integers("strides", Ints(rank, 1)),
             dilations = c.integers("dilations", Ints(rank, 1)), pads = c.integers("pads", Ints(2 * rank, 0));
  if (rank == 0 || block.size() != rank || strides.size() != rank || dilations.size() != rank ||
      pads.size() != 2 * rank || x.shape().rank() != 3 || x.shape()[1].batch || x.shape()[2].batch)
    c.fail(
        fmt::format("x must be [N, C * cells, places], the others a number for each axis of {}, but x is {}",
                    to_string(image), to_string(x.type())));
  std::int64_t cells = 1, places = 1;
  std::vector<Dim> wide{x.shape()[0], x.shape()[1]};
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::int64_t room =
        image[axis] + pads[axis] + pads[rank + axis] - dilations[axis] * (block[axis] - 1) - 1;
    if (block[axis] < 1 || strides[axis] < 1 || dilations[axis] < 1 || room < 0)
      c.fail(fmt::format("blocks {} do not fit into {}", to_string(block), to_string(image)));
    cells = checked::product(cells, block[axis]);
    wide.push_back(room / strides[axis] + 1);
    places = checked::product(places, wide.back().factor);
  }
  const std::int64_t rows = x.shape()[1].factor;
  if (rows % cells != 0 || places != x.shape()[2].factor)
    c.fail(fmt::format("x must have a multiple of {} rows and {} places but is {}", cells, places,
                       to_string(x.type())));
  Dims extents{rows, 1};
  extents.insert(extents.end(), block.begin(), block.end());
  Tensor weight = c.array(x.dtype(), extents);
  dispatch(x.dtype(), [&]<class T>(T) {
    for (std::int64_t row = 0; row < rows; ++row)
      weight.mutable_values<T>()[static_cast<std::size_t>(row * cells + row % cells)] = T(1);
  });
  c.result(c.apply(
      "conv_transpose", {reshaped(c, x, wide), x.graph().constant(std::move(weight)), c.scalar(0, x)},
      ConvTransposeAttributes{strides, Ints(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank)),
                              Ints(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end()), dilations,
                              rows / cells, image}));
}

void gemm(NodeContext& c) {
  Expr a = c.operand(0), b = c.operand(1);
  const bool transpose_a = c.integer("transA", 0) != 0, transpose_b = c.integer("transB", 0) != 0;
  const double alpha = c.real("alpha", 1), beta = c.real("beta", 1);
  c.ignore({"broadcast"});
  if (a.shape().rank() != 2 || b.shape().rank() != 2)
    c.fail(
        fmt::format("A and B must be matrices but are {} and {}", to_string(a.type()), to_string(b.type())));
  c.keep_apart(transpose_a && a.shape()[0].batch, "it sums over the batch");
  std::optional<Expr> bias = c.optional_operand(2);
  if (bias && beta != 1)
    bias = beta == 0 ? std::nullopt : std::optional(c.apply("mul", {*bias, c.scalar(beta, *bias)}));
  if (c.is_static(b) && !c.is_static(a)) {
    if (transpose_a) a = transposed(c, a);
    if (!transpose_b) b = transposed(c, b);
    if (alpha != 1) b = c.apply("mul", {b, c.scalar(alpha, b)});
    const Expr zero = c.scalar(0, a);
    return c.result(c.apply("dense", {a, b, bias ? bias_of(c, as_vector(c, *bias, b.shape()[0])) : zero}));
  }
  Expr y = c.apply("matmul", {a, b}, MatmulAttributes{transpose_a, transpose_b});
  if (alpha != 1) y = c.apply("mul", {y, c.scalar(alpha, y)});
  c.result(bias ? c.apply("add", {y, *bias}) : y);
}

void matmul(NodeContext& c) {
  const Expr a = c.operand(0), b = c.operand(1);
  const std::size_t ra = a.shape().rank(), rb = b.shape().rank();
  if (ra == 0 || rb == 0)
    c.fail(
        fmt::format("operands must have axes but are {} and {}", to_string(a.type()), to_string(b.type())));
  c.keep_apart(a.shape()[ra - 1].batch, "it sums over the batch");
  if (rb == 2 && ra >= 2 && c.is_static(b) && !c.is_static(a))
    return c.result(c.apply("dense", {a, transposed(c, b), c.scalar(0, a)}));
  // Vectors are a row on the left, a column on the right, and the axis goes again.
  const Expr left = ra == 1 ? reshaped(c, a, {1, a.shape()[0]}) : a;
  const Expr right = rb == 1 ? reshaped(c, b, {b.shape()[0], 1}) : b;
  const Expr y = c.apply("matmul", {left, right});
  std::vector<Dim> dims = y.shape().dims();
  if (rb == 1) dims.pop_back();
  if (ra == 1) dims.erase(dims.end() - (rb == 1 ? 1 : 2));
  c.result(reshaped(c, y, std::move(dims)));
}

/// The affine operation with the constant as its bias: what exporters write as MatMul and Add is one layer.
std::optional<Expr> with_bias(const NodeContext& c, Expr y, Expr addend) {
  const auto channel = y.op().channel_axis(y);
  if (!c.is_static(addend) || !channel || !is_zero(y.operand(2))) return std::nullopt;
  if (c.is_static(y) || addend.dtype() != y.dtype()) return std::nullopt;
  const std::size_t channel_axis = *channel;
  const Dim channels = y.shape()[channel_axis];
  const Shape& shape = addend.shape();
  if (shape.rank() > y.shape().rank() || !(shape.count() == channels || shape.count().is(1)))
    return std::nullopt;
  // All of its extent lies on the channels.
  if (!shape.count().is(1)) {
    const std::size_t offset = y.shape().rank() - shape.rank();
    if (channel_axis < offset || shape[channel_axis - offset] != channels) return std::nullopt;
  }
  const Expr vector = as_vector(c, reshaped(c, addend, {shape.count()}), channels);
  const Expr joined = c.apply(y.op().name, {y.operand(0), y.operand(1), bias_of(c, vector)}, y.attributes());
  for (const std::string& name : c.graph().names(y)) c.graph().add_name(joined, name);
  return joined;
}

void add(NodeContext& c) {
  const Expr a = c.operand(0);
  Expr b = c.operand(1);
  c.ignore({"consumed_inputs"});
  const bool legacy = c.opset() < 7 && c.integer("broadcast", 0) != 0 && c.has_attribute("axis");
  if (legacy) {
    const std::size_t axis = checked_axis(c, c.integer("axis", 0), a.shape().rank());
    std::vector<Dim> dims = b.shape().dims();
    if (axis + dims.size() <= a.shape().rank()) dims.resize(a.shape().rank() - axis, Dim{1});
    b = reshaped(c, b, std::move(dims));
  }
  (void)c.integer("broadcast", 0);
  const auto sole = [&](std::size_t input) { return c.importer().uses(c.input_name(input)) == 1; };
  std::optional<Expr> joined;
  if (sole(0)) joined = with_bias(c, a, b);
  if (!joined && sole(1)) joined = with_bias(c, b, a);
  c.result(joined ? *joined : c.apply("add", {a, b}));
}

void sum(NodeContext& c) {
  if (c.input_count() == 2) return add(c);
  Expr total = c.operand(0);
  for (std::size_t i = 1; i < c.input_count(); ++i) total = c.apply("add", {total, c.operand(i)});
  c.result(total);
}

}  // namespace

void add_affine(Handlers& h) {
  h["Conv"] = conv;
  h["ConvTranspose"] = conv_transpose;
  h["Col2Im"] = col2im;
  h["Gemm"] = gemm;
  h["MatMul"] = matmul;
  h["Add"] = add;
  h["Sum"] = sum;
}

}  // namespace rulegrad::io
