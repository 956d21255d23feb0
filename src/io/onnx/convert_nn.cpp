#include <fmt/format.h>

#include <algorithm>

#include "io/onnx/importer.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/program.hpp"

/// Convolutions, pooling, dense layers and normalisation.
namespace rulegrad::onnx_io {
namespace {

struct Windows {
  Ints kernel, strides, begin, end, dilations;
};

Ints filled(Ints list, std::size_t axes, std::int64_t value) { return list.empty() ? Ints(axes, value) : list; }

/// kernel_shape, strides, dilations, pads and auto_pad, for an input with these extents.
Windows windows_of(const NodeReader& n, const Shape& x, Ints kernel) {
  const std::size_t axes = kernel.size();
  if (x.rank() != axes + 2) throw Error(ErrorCode::model, fmt::format("windows of {} axes over x {}", axes, to_string(x)));
  Windows w{std::move(kernel), filled(n.list("strides"), axes, 1), {}, {}, filled(n.list("dilations"), axes, 1)};
  const Ints pads = n.list("pads");
  if (!pads.empty() && pads.size() != 2 * axes) throw Error(ErrorCode::model, fmt::format("pads {} should hold {} numbers", to_string(pads), 2 * axes));
  w.begin = pads.empty() ? Ints(axes, 0) : Ints(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
  w.end = pads.empty() ? Ints(axes, 0) : Ints(pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end());
  const std::string automatic = n.word("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    for (std::size_t i = 0; i < axes; ++i) {
      const std::int64_t in = x[i + 2].factor, out = (in + w.strides[i] - 1) / w.strides[i];
      const std::int64_t total = std::max<std::int64_t>((out - 1) * w.strides[i] + w.dilations[i] * (w.kernel[i] - 1) + 1 - in, 0);
      w.begin[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
    }
  } else if (automatic == "VALID") {
    w.begin.assign(axes, 0);
    w.end.assign(axes, 0);
  } else if (automatic != "NOTSET" && !automatic.empty()) {
    throw Error(ErrorCode::model, fmt::format("auto_pad '{}' is not supported", automatic));
  }
  return w;
}

Ints spatial(const Shape& shape) {
  Ints result;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis) result.push_back(shape[axis].factor);
  return result;
}

Expr bias_of(const NodeReader& n, std::size_t operand) {
  if (!n.has(operand)) return n.graph().scalar(0);
  const Expr b = n.expr(operand);
  return all_zero(b) ? n.graph().scalar(0) : b;
}

void conv(const NodeReader& n) {
  const Expr x = n.expr(0), w = n.expr(1);
  const Windows a = windows_of(n, x.shape(), spatial(w.shape()));
  n.result(n.apply("conv", {x, w, bias_of(n, 2)}, ConvAttributes{a.strides, a.begin, a.end, a.dilations, n.integer("group", 1)}));
}

void conv_transpose(const NodeReader& n) {
  const Expr x = n.expr(0), w = n.expr(1);
  const Ints kernel = spatial(w.shape());
  const std::size_t axes = kernel.size();
  const Ints strides = filled(n.list("strides"), axes, 1), dilations = filled(n.list("dilations"), axes, 1), extra = filled(n.list("output_padding"), axes, 0);
  Ints pads = n.list("pads"), wanted = n.list("output_shape");
  const std::string automatic = n.word("auto_pad", "NOTSET");
  ConvTransposeAttributes a{strides, Ints(axes, 0), Ints(axes, 0), dilations, n.integer("group", 1), {}};
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t in = x.shape()[i + 2].factor, span = dilations[i] * (kernel[i] - 1) + 1;
    const std::int64_t whole = strides[i] * (in - 1) + extra[i] + span;
    if (!wanted.empty() || automatic.starts_with("SAME")) {
      const std::int64_t out = wanted.empty() ? in * strides[i] : wanted[wanted.size() - axes + i];
      const std::int64_t total = std::max<std::int64_t>(whole - out, 0);
      a.pads_begin[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      a.pads_end[i] = total - a.pads_begin[i];
      a.spatial.push_back(out);
    } else {
      if (!pads.empty()) {
        a.pads_begin[i] = pads.at(i);
        a.pads_end[i] = pads.at(axes + i);
      }
      a.spatial.push_back(whole - a.pads_begin[i] - a.pads_end[i]);
    }
    // Extents beyond what the windows reach receive nothing: the convolution back must still give x.
    const std::int64_t back = (a.spatial[i] + a.pads_begin[i] + a.pads_end[i] - span) / strides[i] + 1;
    if (back != in) a.pads_end[i] += (in - 1) * strides[i] + span - (a.spatial[i] + a.pads_begin[i] + a.pads_end[i]);
    if (a.pads_end[i] < 0) throw Error(ErrorCode::model, "this output_shape or output_padding is not supported");
  }
  n.result(n.apply("conv_transpose", {x, w, bias_of(n, 2)}, a));
}

void max_pool(const NodeReader& n) {
  if (n.proto().output_size() > 1 && !n.proto().output(1).empty()) throw Error(ErrorCode::model, "MaxPool's second output, Indices, is not supported");
  const Expr x = n.expr(0);
  const Windows a = windows_of(n, x.shape(), n.list("kernel_shape"));
  n.result(n.apply("max_pool", {x}, PoolAttributes{a.kernel, a.strides, a.begin, a.end, a.dilations, n.integer("ceil_mode", 0) != 0}));
}

void average_pool(const NodeReader& n) {
  const Expr x = n.expr(0);
  const Windows a = windows_of(n, x.shape(), n.list("kernel_shape"));
  n.result(n.apply("avg_pool", {x}, AvgPoolAttributes{a.kernel, a.strides, a.begin, a.end, a.dilations, n.integer("ceil_mode", 0) != 0, n.integer("count_include_pad", 0) != 0}));
}

void global_pool(const NodeReader& n, bool maximum) {
  const Expr x = n.expr(0);
  const Ints all = spatial(x.shape());
  const Ints zero(all.size(), 0), one(all.size(), 1);
  n.result(maximum ? n.apply("max_pool", {x}, PoolAttributes{all, one, zero, zero, one, false})
                   : n.apply("avg_pool", {x}, AvgPoolAttributes{all, one, zero, zero, one, false, false}));
}

/// W^T of a constant [I, O] right operand: dense keeps its weights as [O, I].
Expr transposed(const NodeReader& n, Expr w) {
  const Expr turned = n.apply("transpose", {w}, TransposeAttributes{{1, 0}});
  return n.graph().constant(evaluate(std::span(&turned, 1), {})[0]);
}

void gemm(const NodeReader& n) {
  const double alpha = n.number("alpha", 1), beta = n.number("beta", 1);
  const bool ta = n.integer("transA", 0) != 0, tb = n.integer("transB", 0) != 0;
  Expr a = n.expr(0);
  const Expr b = n.expr(1);
  Expr c = bias_of(n, 2);
  const auto scaled = [&](Expr e, double factor) { return factor == 1 ? e : n.apply("mul", {e, n.graph().scalar(factor)}); };
  if (n.has(2) && !is_zero(c)) c = scaled(c, beta);
  if (constant_of(b) != nullptr) {
    if (ta) a = n.apply("transpose", {a}, TransposeAttributes{{1, 0}});
    const Expr w = scaled(tb ? b : transposed(n, b), alpha);
    n.result(n.apply("dense", {a, w, c}));
    return;
  }
  Expr y = scaled(n.apply("matmul", {a, b}, MatmulAttributes{ta, tb}), alpha);
  n.result(is_zero(c) ? y : n.apply("add", {y, c}));
}

void matmul(const NodeReader& n) {
  Expr a = n.expr(0), b = n.expr(1);
  const bool vector_a = a.shape().rank() == 1, vector_b = b.shape().rank() == 1;
  if (vector_a) a = n.apply("reshape", {a}, ShapeAttributes{Shape{1, a.shape()[0]}});
  if (vector_b) b = n.apply("reshape", {b}, ShapeAttributes{Shape{b.shape()[0], 1}});
  Expr y = constant_of(b) != nullptr && b.shape().rank() == 2 && constant_of(a) == nullptr ? n.apply("dense", {a, transposed(n, b), n.graph().scalar(0)})
                                                                                            : n.apply("matmul", {a, b});
  if (vector_a || vector_b) {
    std::vector<Dim> dims = y.shape().dims();
    if (vector_b) dims.pop_back();
    if (vector_a) dims.erase(dims.end() - (vector_b ? 1 : 2));
    y = n.apply("reshape", {y}, ShapeAttributes{Shape(dims)});
  }
  n.result(y);
}

void batch_normalization(const NodeReader& n) {
  if (n.integer("training_mode", 0) != 0) throw Error(ErrorCode::model, "batch normalisation in training mode is not supported; export the model for inference");
  Expr x = n.expr(0);
  n.result(n.apply("batch_norm", {x, n.expr(1), n.expr(2), n.expr(3), n.expr(4)}, BatchNormAttributes{n.number("epsilon", 1e-5), 1}));
}

void instance_normalization(const NodeReader& n) {
  const Expr x = n.expr(0);
  Ints axes;
  for (std::size_t axis = 2; axis < x.shape().rank(); ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  const auto mean = [&](Expr e) { return n.apply("mean", {e}, ReduceAttributes{axes, true}); };
  const auto along = [&](Expr v) {
    std::vector<Dim> dims{v.shape()[0]};
    dims.resize(x.shape().rank() - 1, Dim{1});
    return n.apply("reshape", {v}, ShapeAttributes{Shape(dims)});
  };
  const Expr d = n.apply("sub", {x, mean(x)});
  const Expr variance = mean(n.apply("mul", {d, d}));
  const Expr deviation = n.apply("sqrt", {n.apply("add", {variance, n.graph().scalar(n.number("epsilon", 1e-5))})});
  n.result(n.apply("add", {n.apply("mul", {n.apply("div", {d, deviation}), along(n.expr(1))}), along(n.expr(2))}));
}

void layer_normalization(const NodeReader& n) {
  if (n.proto().output_size() > 1) throw Error(ErrorCode::model, "LayerNormalization's Mean and InvStdDev outputs are not supported");
  n.result(n.apply("layer_norm", {n.expr(0), n.expr(1), bias_of(n, 2)}, LayerNormAttributes{n.integer("axis", -1), n.number("epsilon", 1e-5)}));
}

/// Before opset 13, softmax flattened its input to two axes at `axis`.
void softmax(const NodeReader& n, const char* name) {
  const Expr x = n.expr(0);
  const auto rank = static_cast<std::int64_t>(x.shape().rank());
  std::int64_t axis = n.integer("axis", n.opset() < 13 ? 1 : -1);
  if (axis < 0) axis += rank;
  if (n.opset() >= 13 || axis == rank - 1) {
    n.result(n.apply(name, {x}, AxisAttributes{axis}));
    return;
  }
  if (axis < 0 || axis > rank) throw Error(ErrorCode::model, fmt::format("axis {} of x {}", axis, to_string(x.shape())));
  Dim rows{1}, columns{1};
  for (std::int64_t i = 0; i < rank; ++i) {
    Dim& to = i < axis ? rows : columns;
    const Dim dim = x.shape()[static_cast<std::size_t>(i)];
    to = Dim(to.factor * dim.factor, to.batch || dim.batch);
  }
  const Expr flat = n.apply("reshape", {x}, ShapeAttributes{Shape{rows, columns}});
  n.result(n.apply("reshape", {n.apply(name, {flat}, AxisAttributes{1})}, ShapeAttributes{x.shape()}));
}

}  // namespace

void add_nn_converters(Converters& table) {
  table["Conv"] = conv;
  table["ConvTranspose"] = conv_transpose;
  table["MaxPool"] = max_pool;
  table["AveragePool"] = average_pool;
  table["GlobalMaxPool"] = [](const NodeReader& n) { global_pool(n, true); };
  table["GlobalAveragePool"] = [](const NodeReader& n) { global_pool(n, false); };
  table["Gemm"] = gemm;
  table["MatMul"] = matmul;
  table["BatchNormalization"] = batch_normalization;
  table["InstanceNormalization"] = instance_normalization;
  table["LayerNormalization"] = layer_normalization;
  table["LRN"] = [](const NodeReader& n) {
    n.result(n.apply("lrn", {n.expr(0)}, LrnAttributes{n.integer("size", 5), n.number("alpha", 1e-4), n.number("beta", 0.75), n.number("bias", 1)}));
  };
  table["Softmax"] = [](const NodeReader& n) { softmax(n, "softmax"); };
  table["LogSoftmax"] = [](const NodeReader& n) { softmax(n, "log_softmax"); };
  table["Dropout"] = [](const NodeReader& n) {
    if (n.has(2) && constant_of(n.expr(2)) != nullptr && n.numbers(2)[0] != 0) throw Error(ErrorCode::model, "dropout in training mode is not supported");
    n.result(n.expr(0));
  };
}

}  // namespace rulegrad::onnx_io
