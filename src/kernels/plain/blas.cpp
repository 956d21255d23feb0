#include "kernels/plain/blas.hpp"

#include <complex>
#include <mutex>

// The one place that sees xtensor-blas: its cxxblas works on pointers and forwards to CBLAS. xt::linalg is
// left alone: its dot() gives a wrong shape for a product with the transpose of a view of itself.
#include <xtensor-blas/xblas_config.hpp>
// Behind the line that says there is a CBLAS: cxxblas computes with loops of its own otherwise, 40 times slower.
#include <xflens/cxxblas/cxxblas.cxx>
#ifndef CXXBLAS_DRIVERS_CBLAS_H
#error "cxxblas was not told of a CBLAS"
#endif

extern "C" {
// Another BLAS than OpenBLAS does not have them.
[[gnu::weak]] void openblas_set_num_threads(int count);
[[gnu::weak]] int openblas_get_num_threads(void);
}

namespace rulegrad::kernels {
namespace {

std::mutex scopes_mutex;
int scopes = 0;
int threads_before = 1;

}  // namespace

SingleThreadedBlas::SingleThreadedBlas() {
  const std::lock_guard lock(scopes_mutex);
  if (scopes++ > 0 || openblas_set_num_threads == nullptr || openblas_get_num_threads == nullptr) return;
  threads_before = openblas_get_num_threads();
  if (threads_before != 1) openblas_set_num_threads(1);
}

SingleThreadedBlas::~SingleThreadedBlas() {
  const std::lock_guard lock(scopes_mutex);
  if (--scopes > 0 || openblas_set_num_threads == nullptr || openblas_get_num_threads == nullptr) return;
  if (threads_before != 1) openblas_set_num_threads(threads_before);
}

template <class T>
void blas_gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
               std::int64_t a_stride, const T* b, std::int64_t b_stride, T beta, T* c,
               std::int64_t c_stride) {
  const auto flag = [](bool transpose) { return transpose ? cxxblas::Trans : cxxblas::NoTrans; };
  const auto index = [](std::int64_t i) { return static_cast<xt::blas_index_t>(i); };
  cxxblas::gemm<xt::blas_index_t>(cxxblas::RowMajor, flag(transpose_a), flag(transpose_b), index(m), index(n),
                                  index(k), T(1), a, index(a_stride), b, index(b_stride), beta, c,
                                  index(c_stride));
}

template void blas_gemm(bool, bool, std::int64_t, std::int64_t, std::int64_t, const float*, std::int64_t,
                        const float*, std::int64_t, float, float*, std::int64_t);
template void blas_gemm(bool, bool, std::int64_t, std::int64_t, std::int64_t, const double*, std::int64_t,
                        const double*, std::int64_t, double, double*, std::int64_t);

}  // namespace rulegrad::kernels
