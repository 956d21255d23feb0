#include "kernels/denormals.hpp"

#include <omp.h>

// The control register of SSE is a matter of the processor, which only the preprocessor can ask for.
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace rulegrad {
namespace {

#if defined(__x86_64__)
constexpr bool has_mode = true;
constexpr unsigned flush_results = 0x8000, zero_operands = 0x0040;  // FTZ and DAZ of MXCSR
unsigned mode() {
  return _mm_getcsr();
}
void set_mode(unsigned mode) {
  _mm_setcsr(mode);
}
#else
constexpr bool has_mode = false;
constexpr unsigned flush_results = 0, zero_operands = 0;
unsigned mode() {
  return 0;
}
void set_mode(unsigned) {}
#endif

constexpr unsigned both = flush_results | zero_operands, raised = 0x003f;

/// Programs of stages run within the program that they are stages of.
thread_local bool entered = false;

}  // namespace

bool denormals_are_zero() {
  return has_mode && (mode() & both) == both;
}

DenormalsAreZero::DenormalsAreZero(bool wanted) {
  if (!has_mode || !wanted || entered) return;
  // Workers that join later inherit the mode from the thread that makes them, and get that thread's own one
  // back.
  const bool alone = omp_in_parallel() != 0 || omp_get_max_threads() == 1;
  before_.assign(alone ? 1 : static_cast<std::size_t>(omp_get_max_threads()), mode());
  entered = active_ = true;
  if (alone) {
    set_mode(before_[0] | both);
    return;
  }
#pragma omp parallel
  {
    unsigned& own = before_[static_cast<std::size_t>(omp_get_thread_num())];
    own = mode();
    set_mode(own | both);
  }
}

DenormalsAreZero::~DenormalsAreZero() {
  if (!active_) return;
  entered = false;
  // Exceptions that kernels raised stay raised, as after any arithmetic.
  const auto restore = [](unsigned before) { set_mode(before | (mode() & raised)); };
  if (before_.size() == 1) {
    restore(before_[0]);
    return;
  }
#pragma omp parallel num_threads(static_cast <int>(before_.size()))
  restore(before_[static_cast<std::size_t>(omp_get_thread_num())]);
}

}  // namespace rulegrad
