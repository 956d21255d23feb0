#pragma once

#include <utility>

#include "rulegrad/error.hpp"
#include "rulegrad/kernel.hpp"
#include "support/text.hpp"

/// Operators meet the raw kernels here: one function a family, which reads views and attributes.
namespace rulegrad::kernels {

void bind_elementwise(Kernels& all);

inline void bind_all(Kernels& all) {
  for (const auto bind : {bind_elementwise}) bind(all);
}

/// Calls `f` with an element of the type behind a floating dtype.
template <class F>
void floating(DType dtype, F&& f) {
  if (dtype == DType::float32) return f(float{});
  if (dtype == DType::float64) return f(double{});
  throw Error(ErrorCode::dtype, "[kernels] computes in float32 and float64, not in " + std::string(name_of(dtype)));
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

}  // namespace rulegrad::kernels
