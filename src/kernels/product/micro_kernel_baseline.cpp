#include "kernels/product/micro_kernel_body.hpp"

namespace rulegrad::kernels {

constinit const MicroKernels<float> micro_kernels_f32_baseline = make_micro_kernels<float, 16, 4>();
constinit const MicroKernels<double> micro_kernels_f64_baseline = make_micro_kernels<double, 16, 4>();

}  // namespace rulegrad::kernels
