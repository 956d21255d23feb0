#include "kernels/product/micro_kernel_body.hpp"

namespace rulegrad::kernels {

constinit const MicroKernels<float> micro_kernels_f32_avx512 = make_micro_kernels<float, 64, 8>();
constinit const MicroKernels<double> micro_kernels_f64_avx512 = make_micro_kernels<double, 64, 8>();

}  // namespace rulegrad::kernels
