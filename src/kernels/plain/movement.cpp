#include <algorithm>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/tensor/dtype.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/common/words.hpp"
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
template <class T>
void pad_axes(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<PadAttributes>();
  Ints dims(x.dims.begin(), x.dims.end());
  std::vector<T> now(x.as<T>(), x.as<T>() + x.count());
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    if (a.begin[axis] == 0 && a.end[axis] == 0) continue;
    const std::int64_t extent = dims[axis];
    if (a.mode == PadMode::reflect && (a.begin[axis] >= std::max<std::int64_t>(extent, 1) ||
                                       a.end[axis] >= std::max<std::int64_t>(extent, 1)))
      throw Error(ErrorCode::shape, "[pad] reflection needs less padding than elements along the axis");
    Ints next_dims = dims;
    next_dims[axis] += a.begin[axis] + a.end[axis];
    std::vector<T> next(static_cast<std::size_t>(count_of(next_dims)), static_cast<T>(a.value));
    auto from = array(now.data(), DimsView(dims));
    auto to = array(next.data(), DimsView(next_dims));
    for (std::int64_t i = 0; i < next_dims[axis] && !next.empty(); ++i)
      if (const std::int64_t at = source(a.mode, extent, i - a.begin[axis]); at >= 0)
        xt::noalias(slab(next_dims, axis, i).of(to)) = slab(dims, axis, at).of(from);
    now = std::move(next);
    dims = std::move(next_dims);
  }
  std::copy(now.begin(), now.end(), call.result.as<T>());
}

void run_pad(const KernelCall& call) {
  dispatch(call.result.dtype, [&]<class T>(T) {
    // std::vector<bool> has no memory to adapt.
    if constexpr (std::is_same_v<T, bool>)
      throw Error(ErrorCode::dtype, "[pad] bool is not padded by the plain kernels");
    else
      pad_axes<T>(call);
  });
}

/// Calls f(slab of x, slab of y) for each index along the axis.
template <class Index, class F>
void for_each_slab(DimsView dims, std::size_t axis, const ConstView& indices, F&& f) {
  const std::int64_t extent = dims[axis], count = indices.count();
  for (std::int64_t k = 0; k < count; ++k) {
    const auto given = static_cast<std::int64_t>(indices.as<Index>()[k]);
    if (given < -extent || given >= extent)
      throw Error(ErrorCode::invalid_argument, "[gather] an index is outside of the axis");
    f(given < 0 ? given + extent : given, k);
  }
}

/// An array whose indexed axes are one: [.., count of indices, ..].
Ints looked_up(DimsView dims, std::size_t axis, std::int64_t count) {
  Ints result(dims.begin(), dims.end());
  result[axis] = count;
  return result;
}

template <class F>
void with_index(const ConstView& indices, F&& f) {
  if (indices.dtype == DType::int64) return f(std::int64_t{});
  if (indices.dtype == DType::int32) return f(std::int32_t{});
  throw Error(ErrorCode::dtype, "[kernels] indices must be int32 or int64: cast them");
}

void run_gather(const KernelCall& call) {
  const ConstView &x = call.operands[0], &indices = call.operands[1];
  const std::size_t axis = axis_of(call.attributes.as<AxisAttributes>().axis, x.dims.size());
  const Ints flat = looked_up(x.dims, axis, indices.count());
  if (count_of(flat) == 0) return;
  with_word(size_of(x.dtype), [&]<class W>(W) {
    auto from = array(reinterpret_cast<const W*>(x.data), x.dims);
    auto to = array(reinterpret_cast<W*>(call.result.data), DimsView(flat));
    with_index(indices, [&]<class Index>(Index) {
      for_each_slab<Index>(x.dims, axis, indices, [&](std::int64_t at, std::int64_t k) {
        xt::noalias(slab(flat, axis, k).of(to)) = slab(x.dims, axis, at).of(from);
      });
    });
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
    with_index(indices, [&]<class Index>(Index) {
      for_each_slab<Index>(dims, axis, indices, [&](std::int64_t at, std::int64_t k) {
        auto to = slab(dims, axis, at).of(y);
        xt::noalias(to) += slab(flat, axis, k).of(g);
      });
    });
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
  const auto pad = all.at("pad");
  compute(all, "pad", [pad](const KernelCall& call) {
    if (call.result.dtype == DType::boolean) return pad->run(call);
    run_pad(call);
  });
}

}  // namespace rulegrad::kernels::plain
