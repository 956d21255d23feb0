#include "kernels/common/isa.hpp"

#include <cstdlib>
#include <string_view>

namespace rulegrad::kernels {

Isa isa() {
  // RULEGRAD_ISA narrows the choice, so that tests can run the code paths of smaller machines.
  static const Isa found = [] {
#if defined(__x86_64__)
    const char* const asked = std::getenv("RULEGRAD_ISA");
    const std::string_view limit = asked == nullptr ? "" : asked;
    if (limit == "baseline") return Isa::baseline;
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512 && limit != "avx2") return Isa::avx512;
    if (avx2) return Isa::avx2;
#endif
    return Isa::baseline;
  }();
  return found;
}

}  // namespace rulegrad::kernels
