#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/tensor/dtype.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/common/words.hpp"
#include "kernels/move/indices.hpp"
#include "kernels/plain/plain.hpp"
#include "kernels/plain/views.hpp"

namespace rulegrad::kernels::plain {
namespace {

/// Calls f(x, y) with operand 0 and the result as arrays of words.
template <class F>
void moved(const KernelCall& call, F&& f) {
  const ConstView& x = call.operands[0];
  with_word(size_of(x.dtype), [&]<class W>(W) {
    auto from = array(reinterpret_cast<const W*>(x.data), x.dims);
    auto to = array(reinterpret_cast<W*>(call.result.data), call.result.dims);
    f(from, to);
  });
}

/// The box that slice attributes name.
template <class A>
Box box_of(const A& a, DimsView dims, DimsView counts) {
  Ints start(dims.size(), 0), step(dims.size(), 1);
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    const std::size_t axis = axis_of(a.axes[i], dims.size());
    start[axis] = a.starts[i];
    step[axis] = a.steps[i];
  }
  return {dims, start, step, counts};
}

/// What lies at `at` along `axis`.
Box slab(DimsView dims, std::size_t axis, std::int64_t at, std::int64_t count = 1) {
  Ints start(dims.size(), 0), counts(dims.begin(), dims.end());
  start[axis] = at;
  counts[axis] = count;
  return {dims, start, Ints(dims.size(), 1), counts};
}

void run_transpose(const KernelCall& call) {
  if (call.result.count() == 0) return;
  const Ints& perm = call.attributes.as<TransposeAttributes>().perm;
  moved(call, [&](auto& x, auto& y) {
    xt::noalias(y) = xt::transpose(x, std::vector<std::size_t>(perm.begin(), perm.end()));
  });
}

void run_expand(const KernelCall& call) {
  if (call.result.count() == 0) return;
  moved(call, [&](auto& x, auto& y) { xt::noalias(y) = xt::broadcast(x, extents(call.result.dims)); });
}

void run_slice(const KernelCall& call) {
  if (call.result.count() == 0) return;
  const Box box = box_of(call.attributes.as<SliceAttributes>(), call.operands[0].dims, call.result.dims);
  moved(call, [&](auto& x, auto& y) { xt::noalias(y) = box.of(x); });
}

void run_slice_vjp(const KernelCall& call) {
  const ConstView& g = call.operands[0];
  const Box box = box_of(call.attributes.as<SliceVjpAttributes>(), call.result.dims, g.dims);
  moved(call, [&](auto& from, auto& y) {
    y.fill(0);
    if (g.count() > 0) xt::noalias(box.of(y)) = from;
  });
}

void run_concat(const KernelCall& call) {
  const std::size_t axis = axis_of(call.attributes.as<AxisAttributes>().axis, call.result.dims.size());
  with_word(size_of(call.result.dtype), [&]<class W>(W) {
    auto y = array(reinterpret_cast<W*>(call.result.data), call.result.dims);
    std::int64_t at = 0;
    for (const ConstView& operand : call.operands) {
      const std::int64_t extent = operand.dims[axis];
      if (operand.count() > 0)
        xt::noalias(slab(call.result.dims, axis, at, extent).of(y)) =
            array(reinterpret_cast<const W*>(operand.data), operand.dims);
      at += extent;
    }
  });
}

/// Where along a padded axis of `extent` elements position i of the result comes from; -1: from nowhere.
std::int64_t source(PadMode mode, std::int64_t extent, std::int64_t i) {
  if (i >= 0 && i < extent) return i;
  switch (mode) {
    case PadMode::constant:
      return -1;
    case PadMode::edge:
      return i < 0 ? 0 : extent - 1;
    case PadMode::reflect:
      return i < 0 ? -i : 2 * (extent - 1) - i;
  }
  return -1;
}

/// One axis after the other: each step copies slabs.
template <class W>
void pad_axes(const KernelCall& call, W around) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<PadAttributes>();
  Ints dims(x.dims.begin(), x.dims.end());
  std::vector<W> now(x.as<W>(), x.as<W>() + x.count());
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    if (a.begin[axis] == 0 && a.end[axis] == 0) continue;
    const std::int64_t extent = dims[axis];
    if (a.mode == PadMode::reflect && (a.begin[axis] >= std::max<std::int64_t>(extent, 1) ||
                                       a.end[axis] >= std::max<std::int64_t>(extent, 1)))
      throw Error(ErrorCode::shape, "[pad] reflection needs less padding than elements along the axis");
    Ints next_dims = dims;
    next_dims[axis] += a.begin[axis] + a.end[axis];
    std::vector<W> next(static_cast<std::size_t>(count_of(next_dims)), around);
    auto from = array(now.data(), DimsView(dims));
    auto to = array(next.data(), DimsView(next_dims));
    for (std::int64_t i = 0; i < next_dims[axis] && !next.empty(); ++i)
      if (const std::int64_t at = source(a.mode, extent, i - a.begin[axis]); at >= 0)
        xt::noalias(slab(next_dims, axis, i).of(to)) = slab(dims, axis, at).of(from);
    now = std::move(next);
    dims = std::move(next_dims);
  }
  std::copy(now.begin(), now.end(), call.result.as<W>());
}

void run_pad(const KernelCall& call) {
  std::array<std::byte, 8> value{};
  dispatch(call.result.dtype, [&]<class T>(T) {
    const T number = static_cast<T>(call.attributes.as<PadAttributes>().value);
    std::memcpy(value.data(), &number, sizeof(T));
  });
  with_word(size_of(call.result.dtype), [&]<class W>(W around) {
    std::memcpy(&around, value.data(), sizeof(W));
    pad_axes<W>(call, around);
  });
}

/// An array whose indexed axes are one: [.., count of indices, ..].
Ints looked_up(DimsView dims, std::size_t axis, std::int64_t count) {
  Ints result(dims.begin(), dims.end());
  result[axis] = count;
  return result;
}

void run_gather(const KernelCall& call) {
  const ConstView &x = call.operands[0], &indices = call.operands[1];
  const std::size_t axis = axis_of(call.attributes.as<AxisAttributes>().axis, x.dims.size());
  const Ints flat = looked_up(x.dims, axis, indices.count());
  if (count_of(flat) == 0) return;
  with_word(size_of(x.dtype), [&]<class W>(W) {
    auto from = array(reinterpret_cast<const W*>(x.data), x.dims);
    auto to = array(reinterpret_cast<W*>(call.result.data), DimsView(flat));
    std::int64_t k = 0;
    for (const std::int64_t at : from_front(indices_of(indices), x.dims[axis], "gather"))
      xt::noalias(slab(flat, axis, k++).of(to)) = slab(x.dims, axis, at).of(from);
  });
}

void run_scatter_add(const KernelCall& call) {
  const ConstView& indices = call.operands[1];
  const DimsView dims = call.result.dims;
  const std::size_t axis = axis_of(call.attributes.as<ScatterAttributes>().axis, dims.size());
  const Ints flat = looked_up(dims, axis, indices.count());
  floating(call.result.dtype, [&]<class T>(T) {
    auto y = array(call.result.as<T>(), dims);
    y.fill(T(0));
    if (count_of(flat) == 0 || count_of(dims) == 0) return;
    auto g = array(call.operands[0].as<T>(), DimsView(flat));
    std::int64_t k = 0;
    for (const std::int64_t at : from_front(indices_of(indices), dims[axis], "scatter_add")) {
      auto to = slab(dims, axis, at).of(y);
      xt::noalias(to) += slab(flat, axis, k++).of(g);
    }
  });
}

}  // namespace

void bind_movement(Kernels& all) {
  compute(all, "transpose", run_transpose);
  compute(all, "expand", run_expand);
  compute(all, "slice", run_slice);
  compute(all, "slice_vjp", run_slice_vjp);
  compute(all, "concat", run_concat);
  compute(all, "gather", run_gather);
  compute(all, "scatter_add", run_scatter_add);
  compute(all, "pad", run_pad);
}

}  // namespace rulegrad::kernels::plain
