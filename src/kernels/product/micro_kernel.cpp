#include "kernels/product/micro_kernel.hpp"

#include "kernels/common/isa.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels {
namespace {

#if defined(__x86_64__)
// Without it an analysis takes 1.9 times as long (MLP, lrp.epsilon_plus_flat, batch 32): benchmarks/kernel_worth.
const KernelPath avx512_path("micro kernels: AVX-512");
// Without it and AVX-512 an analysis takes 2.7 times as long (wide MLP, batch 64): benchmarks/kernel_worth.
const KernelPath avx2_path("micro kernels: AVX2");
#endif
// Only counted: every processor has it.
const KernelPath baseline_path("micro kernels: baseline", KernelPath::Choice::only);

/// The widest that this machine has.
Isa widest() {
#if defined(__x86_64__)
  if (isa() == Isa::avx512 && avx512_path.open()) {
    avx512_path.taken();
    return Isa::avx512;
  }
  if (isa() != Isa::baseline && avx2_path.open()) {
    avx2_path.taken();
    return Isa::avx2;
  }
#endif
  baseline_path.taken();
  return Isa::baseline;
}

}  // namespace

template <>
const MicroKernels<float>& micro_kernels<float>() {
  switch (widest()) {
#if defined(__x86_64__)
    case Isa::avx512:
      return micro_kernels_f32_avx512;
    case Isa::avx2:
      return micro_kernels_f32_avx2;
#endif
    default:
      return micro_kernels_f32_baseline;
  }
}

template <>
const MicroKernels<double>& micro_kernels<double>() {
  switch (widest()) {
#if defined(__x86_64__)
    case Isa::avx512:
      return micro_kernels_f64_avx512;
    case Isa::avx2:
      return micro_kernels_f64_avx2;
#endif
    default:
      return micro_kernels_f64_baseline;
  }
}

}  // namespace rulegrad::kernels
