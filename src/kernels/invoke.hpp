#pragma once

#include <span>
#include <string>

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad {

/// Runs a kernel; what it throws is told with the node it happened at.
void invoke(const std::function<void(const KernelCall&)>& run, const std::string& label,
            const KernelCall& call);

/// Where the element that lies at position `at` of a layout with this `block` would lie row-major.
[[nodiscard]] std::int64_t row_major_place(const Shape& shape, const Extents& extents, std::int64_t block,
                                           std::int64_t at);

/// Throws Error(non_finite) if the result of a contraction is not finite. `block` is that of its layout.
void require_finite_result(const std::string& label, DType dtype, const Shape& shape, const Extents& extents,
                           std::int64_t block, const std::byte* data);

/// What it throws for a value at this position of the memory.
[[noreturn]] void fail_non_finite_result(const std::string& label, DType dtype, const Shape& shape,
                                         const Extents& extents, std::int64_t block, double value,
                                         std::int64_t position);

/// One call in memory of its own, outside any program; `type` is static. `block` is that of the result's
/// layout.
[[nodiscard]] Tensor compute(const Kernel& kernel, const std::string& label, std::span<const Tensor> operands,
                             const Type& type, const Attributes& attributes, bool check_finite,
                             std::int64_t block = 0);

}  // namespace rulegrad
