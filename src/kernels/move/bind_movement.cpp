#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/move/indices.hpp"
#include "kernels/move/movement.hpp"
#include "kernels/move/resize.hpp"

namespace rulegrad::kernels {
namespace {

using Test = decltype(Kernel::same_elements);

/// A kernel that need not run when `keeps` says so.
template <class F>
Kernel moving(Test keeps, F run) {
  Kernel kernel = simple(std::move(run));
  kernel.same_elements = std::move(keeps);
  return kernel;
}

bool always(std::span<const Type>, const Type&, const Attributes&) {
  return true;
}
bool same_type(std::span<const Type> operands, const Type& result, const Attributes&) {
  return operands[0] == result;
}

/// True if only axes of extent 1 change places.
bool keeps_order(std::span<const Type> operands, const Type&, const Attributes& attributes) {
  const auto& perm = attributes.as<TransposeAttributes>().perm;
  std::int64_t last = -1;
  for (const std::int64_t axis : perm) {
    if (operands[0].shape[static_cast<std::size_t>(axis)].is(1)) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

/// Starts and steps of every axis from those that are named.
struct Strides {
  Ints starts, steps;
  template <class A>
  Strides(const A& a, std::size_t rank) : starts(rank, 0), steps(rank, 1) {
    for (std::size_t i = 0; i < a.axes.size(); ++i) {
      const std::size_t axis = axis_of(a.axes[i], rank);
      starts[axis] = a.starts[i];
      steps[axis] = a.steps[i];
    }
  }
};

bool takes_all(std::span<const Type> operands, const Type& result, const Attributes& attributes) {
  const auto& steps = attributes.as<SliceAttributes>().steps;
  return operands[0] == result &&
         std::all_of(steps.begin(), steps.end(), [](std::int64_t step) { return step > 0; });
}

/// Do attributes that list axes name the outermost one?
template <class A>
bool names_outermost(const Attributes& attributes, std::size_t rank) {
  const auto& axes = attributes.as<A>().axes;
  return std::any_of(axes.begin(), axes.end(), [&](std::int64_t axis) { return axis_of(axis, rank) == 0; });
}

template <class A>
bool pads_outermost(const Attributes& attributes, std::size_t rank) {
  const auto& a = attributes.as<A>();
  return rank == 0 || a.begin[0] != 0 || a.end[0] != 0;
}

bool moves_outermost(const Attributes& attributes, std::size_t rank) {
  return rank == 0 || attributes.as<TransposeAttributes>().perm[0] != 0;
}

Rows rows_of_concat(std::span<const Type> operands, const Type& result, const Attributes& attributes) {
  Rows all(along_outermost<AxisAttributes>(attributes, result.shape.rank()) ? 0 : operands.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

/// Along axis 0, the indices are the batch.
Rows rows_of_gather(std::span<const Type> operands, const Type&, const Attributes& attributes) {
  if (!along_outermost<AxisAttributes>(attributes, operands[0].shape.rank())) return {0};
  return operands[1].shape.rank() > 0 ? Rows{1} : Rows{};
}

Rows rows_of_expand(std::span<const Type> operands, const Type& result, const Attributes&) {
  return operands[0].shape.rank() == result.shape.rank() ? Rows{0} : Rows{};
}

template <class F>
Kernel with_rows(Kernel kernel, F rows) {
  kernel.rows = std::move(rows);
  return kernel;
}

/// An array cut at `axis`.
struct Cut {
  std::int64_t outer, extent, inner;
  Cut(DimsView dims, std::size_t axis)
      : outer(count_of(dims.first(axis))), extent(dims[axis]), inner(count_of(dims.subspan(axis + 1))) {}
};

void run_slice(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const Strides s(call.attributes.as<SliceAttributes>(), x.dims.size());
  slice(size_of(x.dtype), x.dims, s.starts, s.steps, x.data, call.result.dims, call.result.data);
}

void run_slice_vjp(const KernelCall& call) {
  const ConstView& g = call.operands[0];
  const Strides s(call.attributes.as<SliceVjpAttributes>(), g.dims.size());
  slice_scatter(size_of(g.dtype), g.dims, s.starts, s.steps, g.data, call.result.dims, call.result.data);
}

void run_pad(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<PadAttributes>();
  dispatch(x.dtype, [&]<class T>(T) {
    const T value = static_cast<T>(a.value);
    pad(sizeof(T), a.mode, x.dims, a.begin, a.end, &value, x.data, call.result.data);
  });
}

void run_pad_vjp(const KernelCall& call) {
  const auto& a = call.attributes.as<PadVjpAttributes>();
  floating(call.result.dtype, [&]<class T>(T) {
    pad_adjoint(a.mode, call.result.dims, a.begin, a.end, call.operands[0].as<T>(), call.result.as<T>());
  });
}

void run_concat(const KernelCall& call) {
  const std::size_t axis = axis_of(call.attributes.as<AxisAttributes>().axis, call.result.dims.size());
  const Cut whole(call.result.dims, axis);
  Ints extents;
  std::vector<const void*> parts;
  for (const ConstView& operand : call.operands) {
    extents.push_back(operand.dims[axis]);
    parts.push_back(operand.data);
  }
  concat(size_of(call.result.dtype), whole.outer, extents, whole.inner, parts, call.result.data);
}

void run_gather(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const Cut cut(x.dims, axis_of(call.attributes.as<AxisAttributes>().axis, x.dims.size()));
  gather(size_of(x.dtype), cut.outer, cut.extent, cut.inner, indices_of(call.operands[1]), x.data,
         call.result.data);
}

void run_scatter_add(const KernelCall& call) {
  const auto& a = call.attributes.as<ScatterAttributes>();
  const Cut cut(call.result.dims, axis_of(a.axis, call.result.dims.size()));
  const std::vector<std::int64_t> indices = indices_of(call.operands[1]);
  floating(call.result.dtype, [&]<class T>(T) {
    scatter_add<T>(cut.outer, cut.extent, cut.inner, indices, call.operands[0].as<T>(), call.result.as<T>());
  });
}

void run_one_hot(const KernelCall& call) {
  const auto depth = call.attributes.as<OneHotAttributes>().depth;
  const std::vector<std::int64_t> indices = indices_of(call.operands[0]);
  arithmetic(call.result.dtype,
             [&]<class T>(T) { one_hot<T, std::int64_t>(depth, indices, call.result.as<T>()); });
}

template <class A>
ResizeGeometry resize_geometry(const A& a, DimsView in, DimsView out) {
  return {spatial_of(in), spatial_of(out), a.scales, a.mode, a.coordinates, a.rounding};
}

void run_resize(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto geometry = resize_geometry(call.attributes.as<ResizeAttributes>(), x.dims, call.result.dims);
  floating(call.result.dtype,
           [&]<class T>(T) { resize(geometry, planes_of(x.dims), x.as<T>(), call.result.as<T>()); });
}

void run_resize_vjp(const KernelCall& call) {
  const ConstView& g = call.operands[0];
  const auto geometry = resize_geometry(call.attributes.as<ResizeVjpAttributes>(), call.result.dims, g.dims);
  floating(call.result.dtype,
           [&]<class T>(T) { resize_adjoint(geometry, planes_of(g.dims), g.as<T>(), call.result.as<T>()); });
}

}  // namespace

void bind_movement(Kernels& all) {
  all.set("identity", moving(always, copy_operand));
  all.set("const", moving(always, copy_operand));
  all.set("reshape", moving(always, copy_operand));
  all.set("expand", with_rows(moving(same_type,
                                     [](const KernelCall& call) {
                                       const ConstView& x = call.operands[0];
                                       expand(size_of(x.dtype), x.dims, x.data, call.result.dims,
                                              call.result.data);
                                     }),
                              rows_of_expand));
  Kernel casting = moving(same_type, [](const KernelCall& call) {
    const ConstView& x = call.operands[0];
    cast(x.dtype, call.result.dtype, x.count(), x.data, call.result.data);
  });
  casting.access = Access::elementwise;
  all.set("cast", std::move(casting));
  all.set("transpose", with_batch_unless(moving(keeps_order,
                                                [](const KernelCall& call) {
                                                  const ConstView& x = call.operands[0];
                                                  transpose(size_of(x.dtype), x.dims,
                                                            call.attributes.as<TransposeAttributes>().perm,
                                                            x.data, call.result.data);
                                                }),
                                         moves_outermost));
  all.set("slice", with_batch_unless(moving(takes_all, run_slice), names_outermost<SliceAttributes>));
  all.set("slice_vjp", with_batch_unless(simple(run_slice_vjp), names_outermost<SliceVjpAttributes>));
  all.set("pad", with_batch_unless(simple(run_pad), pads_outermost<PadAttributes>));
  all.set("pad_vjp", with_batch_unless(simple(run_pad_vjp), pads_outermost<PadVjpAttributes>));
  all.set("concat", with_rows(moving(same_type, run_concat), rows_of_concat));
  all.set("gather", with_rows(simple(run_gather), rows_of_gather));
  all.set("scatter_add", with_batch_unless(simple(run_scatter_add), along_outermost<ScatterAttributes>));
  all.set("one_hot", with_batch(simple(run_one_hot), {0}));
  all.set("resize", with_batch(simple(run_resize), {0}));
  all.set("resize_vjp", with_batch(simple(run_resize_vjp), {0}));
  all.set("fill", simple([](const KernelCall& call) {
            dispatch(call.result.dtype, [&]<class T>(T) {
              std::fill_n(call.result.as<T>(), call.result.count(),
                          static_cast<T>(call.attributes.as<FillAttributes>().value));
            });
          }));
}

}  // namespace rulegrad::kernels
