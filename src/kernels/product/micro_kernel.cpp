#include "kernels/product/micro_kernel.hpp"

#include "kernels/common/isa.hpp"

namespace rulegrad::kernels {

template <>
const MicroKernels<float>& micro_kernels<float>() {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return micro_kernels_f32_avx512;
  if (isa() == Isa::avx2) return micro_kernels_f32_avx2;
#endif
  return micro_kernels_f32_baseline;
}

template <>
const MicroKernels<double>& micro_kernels<double>() {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return micro_kernels_f64_avx512;
  if (isa() == Isa::avx2) return micro_kernels_f64_avx2;
#endif
  return micro_kernels_f64_baseline;
}

}  // namespace rulegrad::kernels
