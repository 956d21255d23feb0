#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/support/error.hpp"

#include "kernels/common/dims.hpp"

/// Operators meet the raw kernels here: one function a family, which reads views and attributes.
namespace rulegrad::kernels {

void bind_elementwise(Kernels& all);
void bind_contractions(Kernels& all);
void bind_gathering(Kernels& all);
void bind_movement(Kernels& all);
void bind_norms(Kernels& all);
void bind_pooling(Kernels& all);
void bind_random(Kernels& all);
void bind_reductions(Kernels& all);
void bind_trees(Kernels& all);

inline void bind_all(Kernels& all) {
  for (const auto bind : {bind_elementwise, bind_contractions, bind_gathering, bind_movement, bind_norms,
                          bind_pooling, bind_random, bind_reductions, bind_trees})
    bind(all);
}

/// Calls `f` with an element of the type behind a floating dtype.
template <class F>
void floating(DType dtype, F&& f) {
  if (dtype == DType::float32) return f(float{});
  if (dtype == DType::float64) return f(double{});
  throw Error(ErrorCode::dtype,
              "[kernels] computes in float32 and float64, not in " + std::string(name_of(dtype)));
}

/// The same for dtypes that can be added and multiplied: floating ones, int32 and int64.
template <class F>
void arithmetic(DType dtype, F&& f) {
  if (dtype == DType::int32) return f(std::int32_t{});
  if (dtype == DType::int64) return f(std::int64_t{});
  floating(dtype, std::forward<F>(f));
}

/// A kernel that needs nothing but its views and attributes.
template <class F>
[[nodiscard]] Kernel simple(F run) {
  Kernel kernel;
  kernel.run = std::move(run);
  return kernel;
}

/// A kernel that computes element by element and may write over its operands.
template <class F>
[[nodiscard]] Kernel elementwise(Access access, F run) {
  Kernel kernel = simple(std::move(run));
  kernel.access = access;
  kernel.in_place = true;
  return kernel;
}

using Rows = std::vector<std::size_t>;

/// The kernel, told that axis 0 of the named operands is a batch, whatever the attributes.
[[nodiscard]] inline Kernel with_batch(Kernel kernel, Rows operands) {
  kernel.rows = [operands](std::span<const Type>, const Type&, const Attributes&) { return operands; };
  return kernel;
}

/// The same for operand 0, unless `touches` says that the kernel mixes entries of axis 0.
template <class F>
[[nodiscard]] Kernel with_batch_unless(Kernel kernel, F touches) {
  kernel.rows = [touches](std::span<const Type> operands, const Type&, const Attributes& attributes) {
    return touches(attributes, operands[0].shape.rank()) ? Rows{} : Rows{0};
  };
  return kernel;
}

/// Copies the bytes of operand 0.
inline void copy_operand(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  if (const auto bytes = static_cast<std::size_t>(x.count()) * size_of(x.dtype); bytes != 0)
    std::memcpy(call.result.data, x.data, bytes);
}

/// The extents behind [N, C].
[[nodiscard]] inline DimsView spatial_of(DimsView dims) {
  return dims.subspan(2);
}

/// Arrays [N, C] that spatial kernels go through one by one.
[[nodiscard]] inline std::int64_t planes_of(DimsView dims) {
  return dims[0] * dims[1];
}

/// `axis` counted from the front.
[[nodiscard]] inline std::size_t axis_of(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

/// True if the one axis that attributes of type A name is the outermost.
template <class A>
[[nodiscard]] bool along_outermost(const Attributes& attributes, std::size_t rank) {
  return axis_of(attributes.as<A>().axis, rank) == 0;
}

}  // namespace rulegrad::kernels
