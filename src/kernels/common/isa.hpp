#pragma once

namespace rulegrad::kernels {

/// The vector instructions this process may use, the same everywhere in one run.
enum class Isa { baseline, avx2, avx512 };
[[nodiscard]] Isa isa();

// Under sanitizers every loop is compiled once: what they look for is the same in all targets, and three times
// the instrumented loops take the compiler minutes a file.
#if defined(__x86_64__) && !defined(RULEGRAD_ONE_TARGET)
#define RULEGRAD_TARGETS
#endif

namespace detail {
#ifdef RULEGRAD_TARGETS
template <class Body>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"), gnu::flatten, gnu::noinline]] void run_avx512(
    const Body& body) {
  body();
}
template <class Body>
[[gnu::target("avx2"), gnu::flatten, gnu::noinline]] void run_avx2(const Body& body) {
  body();
}
#endif
}  // namespace detail

/// Runs `body`, a lambda around plain loops, compiled for the widest vectors of this machine: one binary runs
/// everywhere. The compiler inlines the body into a function of each target (`flatten`), which target_clones
/// cannot do for templates. Kernels are compiled with -ffp-contract=off, so elementwise results do not depend
/// on the target.
template <class Body>
void vectorised(const Body& body) {
#ifdef RULEGRAD_TARGETS
  switch (isa()) {
    case Isa::avx512:
      detail::run_avx512(body);
      return;
    case Isa::avx2:
      detail::run_avx2(body);
      return;
    case Isa::baseline:
      break;
  }
#endif
  body();
}

}  // namespace rulegrad::kernels
