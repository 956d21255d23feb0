#include "rulegrad/kernels/plain_kernels.hpp"

#include "kernels/plain/plain.hpp"

namespace rulegrad {

const Kernels& plain_kernels() {
  static const Kernels kernels = [] {
    Kernels all = Kernels::portable();
    kernels::plain::bind_all(all);
    return all;
  }();
  return kernels;
}

}  // namespace rulegrad
