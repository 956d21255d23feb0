#include <algorithm>
#include <string>
#include <vector>

#include "rulegrad/tensor/dtype.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/plain/plain.hpp"
#include "kernels/plain/views.hpp"

namespace rulegrad::kernels::plain {
namespace {

/// The operand stretched to the extents of the result.
template <class T>
std::vector<std::byte> stretched(const ConstView& operand, DimsView dims) {
  std::vector<std::byte> memory(static_cast<std::size_t>(count_of(dims)) * sizeof(T));
  auto all = array(reinterpret_cast<T*>(memory.data()), dims);
  const auto some = array(operand.as<T>(), operand.dims);
  xt::noalias(all) = xt::broadcast(some, extents(dims));
  return memory;
}

bool same(DimsView a, DimsView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

void bind_broadcasting(Kernels& all) {
  for (const std::string& name : all.names()) {
    const std::shared_ptr<const Kernel> kernel = all.at(name);
    if (kernel->access != Access::broadcast) continue;
    // Between arrays of one shape these are xtensor expressions already (elementwise_loops.hpp).
    compute(all, name.c_str(), [kernel](const KernelCall& call) {
      if (call.result.count() == 0) return;
      std::vector<ConstView> operands(call.operands.begin(), call.operands.end());
      std::vector<std::vector<std::byte>> memory;
      for (ConstView& operand : operands) {
        if (same(operand.dims, call.result.dims)) continue;
        dispatch(operand.dtype,
                 [&]<class T>(T) { memory.push_back(stretched<T>(operand, call.result.dims)); });
        operand.dims = call.result.dims;
        operand.data = memory.back().data();
      }
      kernel->run({operands, call.result, call.attributes, {}, {}});
    });
  }
}

}  // namespace rulegrad::kernels::plain
