#include "onnx/writer.hpp"

// Normalizations.
namespace rulegrad::io {
namespace {

void write_batch_norm(Writer& w, Expr e) {
  const auto& a = e.attributes<BatchNormAttributes>();
  if (a.axis == 1) {
    w.node("BatchNormalization", e).set("epsilon", a.epsilon);
    return;
  }
  Steps s(w, e);
  // Along the axis of the channels.
  std::vector<Dim> dims;
  for (std::size_t axis = static_cast<std::size_t>(a.axis); axis < e.shape().rank(); ++axis)
    dims.push_back(axis == static_cast<std::size_t>(a.axis) ? e.shape()[axis] : Dim(1));
  const Shape each(dims);
  const auto parameter = [&](std::size_t i) { return s.reshape(s.operand(i), each); };
  const std::string deviation = s("Sqrt", {s("Add", {parameter(4), s.number(a.epsilon)})});
  const std::string normal = s("Div", {s("Sub", {s.operand(0), parameter(3)}), deviation});
  s.last("Add", {s("Mul", {normal, parameter(1)}), parameter(2)});
}

void write_layer_norm(Writer& w, Expr e) {
  const auto& a = e.attributes<LayerNormAttributes>();
  const Shape& x = e.shape();
  const auto first = static_cast<std::size_t>(a.axis);
  const Shape tail(std::vector<Dim>(x.dims().begin() + a.axis, x.dims().end()));
  const bool bias = !Writer::absent(e, 2);
  if (w.opset() >= 17 && e.operand(1).shape() == tail && (!bias || e.operand(2).shape() == tail)) {
    w.node("LayerNormalization", e).set("axis", a.axis).set("epsilon", a.epsilon);
    return;
  }
  Steps s(w, e);
  Ints axes;
  for (std::size_t axis = first; axis < x.rank(); ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  const std::string from_mean = s("Sub", {s.operand(0), s.reduce("ReduceMean", s.operand(0), axes, true)});
  const std::string variance = s.reduce("ReduceMean", s("Mul", {from_mean, from_mean}), axes, true);
  const std::string normal = s("Div", {from_mean, s("Sqrt", {s("Add", {variance, s.number(a.epsilon)})})});
  if (bias)
    s.last("Add", {s("Mul", {normal, s.operand(1)}), s.operand(2)});
  else
    s.last("Mul", {normal, s.operand(1)});
}

void write_rms_norm(Writer& w, Expr e) {
  const auto& a = e.attributes<LayerNormAttributes>();
  if (w.opset() >= 23) {
    w.node("RMSNormalization", e).set("axis", a.axis).set("epsilon", a.epsilon);
    return;
  }
  Steps s(w, e);
  Ints axes;
  for (std::size_t axis = static_cast<std::size_t>(a.axis); axis < e.shape().rank(); ++axis)
    axes.push_back(static_cast<std::int64_t>(axis));
  const std::string squares = s.reduce("ReduceMean", s("Mul", {s.operand(0), s.operand(0)}), axes, true);
  const std::string root = s("Sqrt", {s("Add", {squares, s.number(a.epsilon)})});
  s.last("Mul", {s("Div", {s.operand(0), root}), s.operand(1)});
}

void write_lp_normalize(Writer& w, Expr e) {
  const auto& a = e.attributes<LpNormalizeAttributes>();
  if (a.epsilon == 0 && a.least == 0) {
    w.node("LpNormalization", e).set("axis", a.axis).set("p", a.p);
    return;
  }
  Steps s(w, e);
  std::string size = s.reduce(a.p == 1 ? "ReduceL1" : "ReduceSumSquare", s.operand(0), {a.axis}, true);
  if (a.epsilon != 0) size = s("Add", {size, s.number(a.epsilon)});
  if (a.p == 2) size = s("Sqrt", {size});
  if (a.least != 0) size = s("Max", {size, s.number(a.least)});
  s.last("Div", {s.operand(0), size});
}

/// Shifted copies of the channels, added.
void write_channel_window_sum(Writer& w, Expr e) {
  const auto& a = e.attributes<ChannelWindowAttributes>();
  const std::size_t rank = e.shape().rank();
  const std::int64_t before = a.reversed ? a.size / 2 : (a.size - 1) / 2, channels = e.shape()[1].factor;
  Steps s(w, e);
  Ints pads(2 * rank, 0);
  pads[1] = before;
  pads[rank + 1] = a.size - 1 - before;
  const std::string padded = s("Pad", {s.operand(0), s.ints(pads), s.number(0)});
  std::vector<std::string> parts;
  for (std::int64_t k = 0; k < a.size; ++k)
    parts.push_back(s("Slice", {padded, s.ints({k}), s.ints({k + channels}), s.ints({1})}));
  s.last("Sum", parts);
}

Form along_axis(const char* op_type) {
  return
      [op_type](Writer& w, Expr e) { w.node(op_type, e).set("axis", e.attributes<AxisAttributes>().axis); };
}

}  // namespace

void add_norm_forms(Forms& f) {
  f["batch_norm"] = write_batch_norm;
  f["layer_norm"] = write_layer_norm;
  f["rms_norm"] = write_rms_norm;
  f["lp_normalize"] = write_lp_normalize;
  f["channel_window_sum"] = write_channel_window_sum;
  f["softmax"] = along_axis("Softmax");
  f["log_softmax"] = along_axis("LogSoftmax");
}

}  // namespace rulegrad::io
