#include "kernels/product/micro_kernel_body.hpp"

namespace rulegrad::kernels {

constinit const MicroKernels<float> micro_kernels_f32_avx2 = make_micro_kernels<float, 32, 4>();
constinit const MicroKernels<double> micro_kernels_f64_avx2 = make_micro_kernels<double, 32, 4>();

}  // namespace rulegrad::kernels
