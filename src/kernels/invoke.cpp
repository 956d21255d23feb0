#include "kernels/invoke.hpp"

#include <cmath>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "kernels/blocked/layout.hpp"
#include "kernels/finite.hpp"

namespace rulegrad {

void invoke(const std::function<void(const KernelCall&)>& run, const std::string& label,
            const KernelCall& call) {
  try {
    run(call);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} (while computing {})", error.what(), label));
  }
}

std::int64_t row_major_place(const Shape& shape, const Extents& extents, std::int64_t block,
                             std::int64_t at) {
  // The sample axis stands outside of the blocks.
  const Dims one = shape.with_samples(false).at(extents);
  const std::int64_t size = element_count(one), sample = at / size * size;
  return sample + kernels::blocked::row_major_position(one, block, at - sample);
}

void require_finite_result(const std::string& label, DType dtype, const Shape& shape, const Extents& extents,
                           std::int64_t block, const std::byte* data) {
  if (const auto at = first_non_finite(dtype, data, element_count(shape.at(extents))))
    fail_non_finite_result(
        label, dtype, shape, extents, block,
        dispatch(dtype,
                 [&]<class T>(T) { return static_cast<double>(reinterpret_cast<const T*>(data)[*at]); }),
        *at);
}

void fail_non_finite_result(const std::string& label, DType dtype, const Shape& shape, const Extents& extents,
                            std::int64_t block, double value, std::int64_t position) {
  fail_non_finite(
      label, "gave",
      std::isnan(value) ? "a softmax before it may run over a row that is masked throughout with -inf, or a "
                          "number left the "
                          "range of the dtype"
      : dtype == DType::float64
          ? "its operands are finite, so a sum left the range of float64: scale the input"
          : "its operands are finite, so a sum left the range of the dtype: scale the input, or compute in "
            "float64",
      shape.at(extents), value, row_major_place(shape, extents, block, position));
}

Tensor compute(const Kernel& kernel, const std::string& label, std::span<const Tensor> operands,
               const Type& type, const Attributes& attributes, bool check_finite, std::int64_t block) {
  std::vector<ConstView> views;
  for (const Tensor& operand : operands) views.push_back({operand.dtype(), operand.dims(), nullptr});
  Tensor result = Tensor::uninitialized(type.dtype, *type.shape.static_dims());
  KernelCall call{views, {type.dtype, result.dims(), nullptr, block}, attributes, {}};
  const std::size_t scratch_bytes = kernel.scratch ? kernel.scratch(call) : 0;
  Tensor scratch = Tensor::uninitialized(DType::uint8, {static_cast<std::int64_t>(scratch_bytes)});
  for (std::size_t i = 0; i < views.size(); ++i) views[i].data = operands[i].data();
  call.result.data = result.mutable_data();
  call.scratch = {scratch.mutable_data(), scratch_bytes};
  invoke(kernel.run, label, call);
  if (check_finite && kernel.contraction)
    require_finite_result(label, result.dtype(), type.shape, {}, block, result.data());
  return result;
}

}  // namespace rulegrad
