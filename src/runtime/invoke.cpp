#include "runtime/invoke.hpp"

#include <fmt/format.h>

#include "rulegrad/error.hpp"

#include "runtime/finite.hpp"

namespace rulegrad {

void invoke(const Kernel& kernel, const std::string& label, const KernelCall& call) {
  try {
    kernel.run(call);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} (while computing {})", error.what(), label));
  }
}

void require_finite_result(const std::string& label, DType dtype, const Dims& dims, const std::byte* data) {
  if (const auto at = first_non_finite(dtype, data, element_count(dims)))
    fail_non_finite(
        label, "gave",
        "its operands are finite, so a sum left the range of the dtype: scale the input, or compute in "
        "float64",
        dtype, dims, data, *at);
}

Tensor compute(const Kernel& kernel, const std::string& label, std::span<const Tensor> operands,
               const Type& type, const Attributes& attributes, bool check_finite) {
  std::vector<ConstView> views;
  for (const Tensor& operand : operands) views.push_back({operand.dtype(), operand.dims(), nullptr});
  Tensor result = Tensor::uninitialized(type.dtype, *type.shape.static_dims());
  KernelCall call{views, {type.dtype, result.dims(), nullptr}, attributes, {}};
  const std::size_t scratch_bytes = kernel.scratch ? kernel.scratch(call) : 0;
  Tensor scratch = Tensor::uninitialized(DType::uint8, {static_cast<std::int64_t>(scratch_bytes)});
  for (std::size_t i = 0; i < views.size(); ++i) views[i].data = operands[i].data();
  call.result.data = result.mutable_data();
  call.scratch = {scratch.mutable_data(), scratch_bytes};
  invoke(kernel, label, call);
  if (check_finite && kernel.contraction)
    require_finite_result(label, result.dtype(), result.dims(), result.data());
  return result;
}

}  // namespace rulegrad
