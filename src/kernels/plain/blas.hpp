#pragma once

#include <cstdint>

namespace rulegrad::kernels {

/// While one of these lives, OpenBLAS runs in the calling threads alone: the kernels share work out
/// themselves, and a pool inside a pool would fight. The last one to go restores what was set before.
class SingleThreadedBlas {
 public:
  SingleThreadedBlas();
  ~SingleThreadedBlas();
  SingleThreadedBlas(const SingleThreadedBlas&) = delete;
  SingleThreadedBlas& operator=(const SingleThreadedBlas&) = delete;
};

/// c = op(a) op(b) + beta c, row-major, by xtensor-blas' cxxblas in the calling thread. T = float, double.
template <class T>
void blas_gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
               std::int64_t a_stride, const T* b, std::int64_t b_stride, T beta, T* c, std::int64_t c_stride);

}  // namespace rulegrad::kernels
