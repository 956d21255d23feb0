#pragma once

#include "rulegrad/kernels/kernel.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// The portable kernels with broadcasting, movement, reductions, softmax, products and convolutions as the
/// xtensor expressions that define them (products by xtensor-blas; convolutions as products of columns), in
/// one thread. Slower, and written apart from the others: what those are held against.
///     CompileOptions options;
///     options.kernels = &plain_kernels();
[[nodiscard]] const Kernels& plain_kernels();

}  // namespace rulegrad
