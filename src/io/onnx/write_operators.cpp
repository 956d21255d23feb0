#include <algorithm>
#include <fmt/format.h>

#include "io/onnx/writer.hpp"

namespace rulegrad::io {
namespace {

Ints joined(const Ints& begin, const Ints& end) {
  Ints all(begin.size() + end.size());
  std::copy(end.begin(), end.end(), std::copy(begin.begin(), begin.end(), all.begin()));
  return all;
}

Form plain(const char* op_type) {
  return [op_type](Writer& w, Expr e) { w.node(op_type, e); };
}

void write_dense(Writer& w, Expr e) {
  const bool bias = !Writer::absent(e, 2);
  if (e.shape().rank() == 2) {
    w.node("Gemm", e).set("transB", std::int64_t{1});
    return;
  }
  // Gemm is for matrices only.
  const std::string& y = w.name(e);
  w.node("Transpose", {w.name(e.operand(1))}, y + ".weight").set("perm", Ints{1, 0});
  w.node("MatMul", {w.name(e.operand(0)), y + ".weight"}, bias ? y + ".product" : y);
  if (bias) w.node("Add", {y + ".product", w.name(e.operand(2))}, y);
}

void write_conv(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvAttributes>();
  w.node("Conv", e)
      .set("strides", a.strides)
      .set("pads", joined(a.pads_begin, a.pads_end))
      .set("dilations", a.dilations)
      .set("group", a.groups);
}

void write_conv_transpose(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvTransposeAttributes>();
  Ints extra;
  for (std::size_t i = 0; i < a.spatial.size(); ++i) {
    const std::int64_t in = e.operand(0).shape()[i + 2].factor, kernel = e.operand(1).shape()[i + 2].factor;
    extra.push_back(a.spatial[i] - ((in - 1) * a.strides[i] + a.dilations[i] * (kernel - 1) + 1 -
                                    a.pads_begin[i] - a.pads_end[i]));
  }
  w.node("ConvTranspose", e)
      .set("strides", a.strides)
      .set("pads", joined(a.pads_begin, a.pads_end))
      .set("dilations", a.dilations)
      .set("group", a.groups)
      .set("output_padding", extra);
}

void write_max_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<PoolAttributes>();
  w.node("MaxPool", e)
      .set("kernel_shape", a.kernel)
      .set("strides", a.strides)
      .set("pads", joined(a.pads_begin, a.pads_end))
      .set("dilations", a.dilations)
      .set("ceil_mode", std::int64_t{a.ceil});
}

void write_avg_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<AvgPoolAttributes>();
  if (std::any_of(a.dilations.begin(), a.dilations.end(), [](std::int64_t d) { return d != 1; }))
    Writer::refuse(e, fmt::format("operator set {} has no dilated average pooling", written_opset));
  w.node("AveragePool", e)
      .set("kernel_shape", a.kernel)
      .set("strides", a.strides)
      .set("pads", joined(a.pads_begin, a.pads_end))
      .set("ceil_mode", std::int64_t{a.ceil})
      .set("count_include_pad", std::int64_t{a.count_padding});
}

void write_batch_norm(Writer& w, Expr e) {
  const auto& a = e.attributes<BatchNormAttributes>();
  if (a.axis != 1) Writer::refuse(e, "its channels must be axis 1");
  w.node("BatchNormalization", e).set("epsilon", a.epsilon);
}

void write_reshape(Writer& w, Expr e) {
  const Shape &from = e.operand(0).shape(), &to = e.shape();
  if (from.rank() > 1 && to.rank() == 2 && from[0] == to[0]) {
    w.node("Flatten", e).set("axis", std::int64_t{1});
    return;
  }
  Ints target;
  for (const Dim dim : to.dims()) target.push_back(dim.batch ? -1 : dim.factor);
  w.node("Reshape", e).input("shape", target);
}

void write_expand(Writer& w, Expr e) {
  Ints target;
  for (const Dim dim : e.shape().dims()) {
    if (dim.batch && std::none_of(e.operand(0).shape().dims().begin(), e.operand(0).shape().dims().end(),
                                  [&](Dim d) { return d == dim; }))
      Writer::refuse(e, "it repeats something for each entry of the batch");
    target.push_back(dim.batch ? 1 : dim.factor);
  }
  w.node("Expand", e).input("shape", target);
}

void write_clip(Writer& w, Expr e) {
  const auto& a = e.attributes<ClipAttributes>();
  w.node("Clip", e)
      .input("min", Tensor::scalar(e.dtype(), a.low))
      .input("max", Tensor::scalar(e.dtype(), a.high));
}

void write_pad(Writer& w, Expr e) {
  const auto& a = e.attributes<PadAttributes>();
  const char* const modes[] = {"constant", "reflect", "edge"};
  w.node("Pad", e)
      .set("mode", std::string(modes[static_cast<std::size_t>(a.mode)]))
      .input("pads", joined(a.begin, a.end))
      .input("value", Tensor::scalar(e.dtype(), a.value));
}

void write_slice(Writer& w, Expr e) {
  const auto& a = e.attributes<SliceAttributes>();
  Ints stops = a.stops;
  for (std::size_t i = 0; i < stops.size(); ++i)
    if (a.steps[i] < 0 && stops[i] < 0)
      stops[i] = -e.operand(0).shape()[static_cast<std::size_t>(a.axes[i])].factor - 1;
  w.node("Slice", e)
      .input("starts", a.starts)
      .input("ends", stops)
      .input("axes", a.axes)
      .input("steps", a.steps);
}

void write_fill(Writer& w, Expr e) {
  const auto& a = e.attributes<FillAttributes>();
  const auto dims = a.shape.static_dims();
  if (!dims) Writer::refuse(e, "its shape holds the batch");
  w.add_tensor(w.name(e), Tensor::full(a.dtype, *dims, a.value));
}

}  // namespace

const std::map<std::string, Form, std::less<>>& forms() {
  static const std::map<std::string, Form, std::less<>> all = [] {
    std::map<std::string, Form, std::less<>> f;
    add_rows(f);
    const std::pair<const char*, const char*> plains[] = {{"prelu", "PRelu"}, {"add", "Add"}, {"sub", "Sub"}, {"mul", "Mul"},
                                                          {"div", "Div"},     {"pow", "Pow"}, {"max", "Max"}, {"min", "Min"},
                                                          {"where", "Where"}, {"identity", "Identity"}};
    for (const auto& [name, op_type] : plains) f[name] = plain(op_type);
    f["dense"] = write_dense;
    f["conv"] = write_conv;
    f["conv_transpose"] = write_conv_transpose;
    f["max_pool"] = write_max_pool;
    f["avg_pool"] = write_avg_pool;
    f["batch_norm"] = write_batch_norm;
    f["reshape"] = write_reshape;
    f["expand"] = write_expand;
    f["clip"] = write_clip;
    f["pad"] = write_pad;
    f["slice"] = write_slice;
    f["fill"] = write_fill;
    f["silu"] = [](Writer& w, Expr e) {
      w.node("Sigmoid", {w.name(e.operand(0))}, w.name(e) + ".gate");
      w.node("Mul", {w.name(e.operand(0)), w.name(e) + ".gate"}, w.name(e));
    };
    f["lrn"] = [](Writer& w, Expr e) {
      const auto& a = e.attributes<LrnAttributes>();
      w.node("LRN", e).set("size", a.size).set("alpha", a.alpha).set("beta", a.beta).set("bias", a.bias);
    };
    f["softmax"] = [](Writer& w, Expr e) {
      w.node("Softmax", e).set("axis", e.attributes<AxisAttributes>().axis);
    };
    f["log_softmax"] = [](Writer& w, Expr e) {
      w.node("LogSoftmax", e).set("axis", e.attributes<AxisAttributes>().axis);
    };
    f["concat"] = [](Writer& w, Expr e) {
      w.node("Concat", e).set("axis", e.attributes<AxisAttributes>().axis);
    };
    f["gather"] = [](Writer& w, Expr e) {
      w.node("Gather", e).set("axis", e.attributes<AxisAttributes>().axis);
    };
    f["transpose"] = [](Writer& w, Expr e) {
      w.node("Transpose", e).set("perm", e.attributes<TransposeAttributes>().perm);
    };
    f["cast"] = [](Writer& w, Expr e) { w.node("Cast", e).set("to", std::int64_t{onnx_type(e.dtype())}); };
    f["mean"] = [](Writer& w, Expr e) {
      w.node("ReduceMean", e)
          .set("axes", e.attributes<ReduceAttributes>().axes)
          .set("keepdims", std::int64_t{e.attributes<ReduceAttributes>().keep});
    };
    f["sum"] = [](Writer& w, Expr e) {
      w.node("ReduceSum", e)
          .set("keepdims", std::int64_t{e.attributes<ReduceAttributes>().keep})
          .input("axes", e.attributes<ReduceAttributes>().axes);
    };
    f["matmul"] = [](Writer& w, Expr e) {
      const auto& a = e.attributes<MatmulAttributes>();
      if (a.transpose_a || a.transpose_b) Writer::refuse(e, "one of its operands is transposed");
      w.node("MatMul", e);
    };
    return f;
  }();
  return all;
}

}  // namespace rulegrad::io
