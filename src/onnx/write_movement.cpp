#include <algorithm>

#include "onnx/writer.hpp"

// Shapes, slices and padding, with their reverse forms; reductions.
namespace rulegrad::io {
namespace {

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
  const Shape &from = e.operand(0).shape(), &to = e.shape();
  Ints target;
  bool from_batch = true;
  for (std::size_t axis = 0; axis < to.rank(); ++axis) {
    const std::size_t missing = to.rank() - from.rank();
    if (to[axis].batch && (axis < missing || from[axis - missing] != to[axis])) from_batch = false;
    target.push_back(to[axis].batch ? 1 : to[axis].factor);
  }
  if (from_batch)
    w.node("Expand", e).input("shape", target);
  else
    w.node("Expand", {w.name(e.operand(0)), w.extents(e, to)}, w.name(e));
}

void write_fill(Writer& w, Expr e) {
  const auto& a = e.attributes<FillAttributes>();
  constexpr std::int64_t few = 4096;
  const auto dims = a.shape.static_dims();
  if (dims && element_count(*dims) <= few)
    w.add_tensor(w.name(e), filled(a.dtype, *dims, a.value));
  else
    w.node("Expand", {w.number(a.value, a.dtype), w.extents(e, a.shape)}, w.name(e));
}

void write_pad(Writer& w, Expr e) {
  const auto& a = e.attributes<PadAttributes>();
  const char* const modes[] = {"constant", "reflect", "edge"};
  w.node("Pad", e)
      .set("mode", std::string(modes[static_cast<std::size_t>(a.mode)]))
      .input("pads", joined(a.begin, a.end))
      .input("value", Tensor::scalar(e.dtype(), a.value));
}

/// What an element of the padding stands for.
std::int64_t source(PadMode mode, std::int64_t at, std::int64_t extent) {
  if (mode == PadMode::edge) return std::clamp<std::int64_t>(at, 0, extent - 1);
  return at < 0 ? -at : at >= extent ? 2 * (extent - 1) - at : at;
}

void write_pad_vjp(Writer& w, Expr e) {
  const auto& a = e.attributes<PadVjpAttributes>();
  const Shape& g = e.operand(0).shape();
  Steps s(w, e);
  if (a.mode == PadMode::constant) {
    Ints pads = joined(a.begin, a.end);
    for (std::int64_t& pad : pads) pad = -pad;
    s.last("Pad", {s.operand(0), s.ints(pads), s.number(0)});
    return;
  }
  std::string value = s.operand(0);
  for (std::size_t axis = 0; axis < g.rank(); ++axis) {
    if (a.begin[axis] == 0 && a.end[axis] == 0) continue;
    const std::int64_t from = g[axis].factor, to = e.shape()[axis].factor;
    Tensor matrix = zeros(e.dtype(), {from, to});
    dispatch(e.dtype(), [&]<class T>(T) {
      auto values = matrix.mutable_values<T>();
      for (std::int64_t p = 0; p < from; ++p)
        values[static_cast<std::size_t>(p * to + source(a.mode, p - a.begin[axis], to))] = T(1);
    });
    value = s.along(value, g.rank(), axis, matrix);
  }
  s.last(value);
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

void write_slice_vjp(Writer& w, Expr e) {
  const auto& a = e.attributes<SliceVjpAttributes>();
  const std::size_t rank = e.shape().rank();
  Steps s(w, e);
  Ints pads(2 * rank, 0);
  std::vector<Dim> dims = e.operand(0).shape().dims();
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(a.axes[i]);
    if (a.steps[i] != 1) continue;
    pads[axis] = a.starts[i];
    pads[rank + axis] = e.shape()[axis].factor - a.stops[i];
    dims[axis] = e.shape()[axis];
  }
  std::string value = s("Pad", {s.operand(0), s.ints(pads), s.number(0)});
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    if (a.steps[i] == 1) continue;
    const auto axis = static_cast<std::size_t>(a.axes[i]);
    Ints places(static_cast<std::size_t>(e.shape()[axis].factor), -1);
    for (std::int64_t k = 0; k < dims[axis].factor; ++k)
      places[static_cast<std::size_t>(a.starts[i] + k * a.steps[i])] = k;
    value = s.take(value, Shape(dims), axis, places);
    dims[axis] = e.shape()[axis];
  }
  s.last(value);
}

void write_sum_to(Writer& w, Expr e) {
  const Shape &from = e.operand(0).shape(), &to = e.shape();
  const std::size_t leading = from.rank() - to.rank();
  Ints gone, kept;
  for (std::size_t axis = 0; axis < from.rank(); ++axis) {
    if (axis < leading)
      gone.push_back(static_cast<std::int64_t>(axis));
    else if (from[axis] != to[axis - leading])
      kept.push_back(static_cast<std::int64_t>(axis));
  }
  Steps s(w, e);
  std::string value = s.operand(0);
  if (!kept.empty()) value = s.reduce("ReduceSum", value, kept, true);
  if (!gone.empty()) value = s.reduce("ReduceSum", value, gone, false);
  s.last(value);
}

Form reduction(const char* op_type) {
  return [op_type](Writer& w, Expr e) {
    const auto& a = e.attributes<ReduceAttributes>();
    const std::int64_t since = std::string_view(op_type) == "ReduceSum" ? 13 : 18;
    NodeWriter node = w.node(op_type, e);
    node.set("keepdims", std::int64_t{a.keep});
    if (w.opset() >= since)
      node.input("axes", a.axes);
    else
      node.set("axes", a.axes);
  };
}

}  // namespace

void add_movement_forms(Forms& f) {
  f["reshape"] = write_reshape;
  f["expand"] = write_expand;
  f["fill"] = write_fill;
  f["pad"] = write_pad;
  f["pad_vjp"] = write_pad_vjp;
  f["slice"] = write_slice;
  f["slice_vjp"] = write_slice_vjp;
  f["sum_to"] = write_sum_to;
  const std::pair<const char*, const char*> reductions[] = {{"sum", "ReduceSum"},
                                                            {"mean", "ReduceMean"},
                                                            {"amax", "ReduceMax"},
                                                            {"amin", "ReduceMin"},
                                                            {"prod", "ReduceProd"}};
  for (const auto& [name, op_type] : reductions) f[name] = reduction(op_type);
  f["concat"] = [](Writer& w, Expr e) {
    w.node("Concat", e).set("axis", e.attributes<AxisAttributes>().axis);
  };
  f["transpose"] = [](Writer& w, Expr e) {
    w.node("Transpose", e).set("perm", e.attributes<TransposeAttributes>().perm);
  };
  f["cumsum"] = [](Writer& w, Expr e) {
    const auto& a = e.attributes<CumsumAttributes>();
    w.node("CumSum", e)
        .set("exclusive", std::int64_t{a.exclusive})
        .set("reverse", std::int64_t{a.reverse})
        .input("axis", Tensor::scalar(DType::int64, static_cast<double>(a.axis)));
  };
}

}  // namespace rulegrad::io
