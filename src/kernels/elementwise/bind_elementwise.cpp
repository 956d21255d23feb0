#include <algorithm>
#include <array>
#include <vector>

#include "kernels/common/bind.hpp"
#include "kernels/common/parallel.hpp"
#include "kernels/common/words.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rulegrad::kernels {
namespace {

/// The operands are added in their order, element by element, so that the result may lie over any of them.
template <class T>
void accumulate(const KernelCall& call) {
  constexpr std::int64_t piece = 512;
  std::vector<const T*> operands;
  for (const ConstView& operand : call.operands) operands.push_back(operand.as<T>());
  T* const y = call.result.as<T>();
  parallel_chunks(call.result.count(), grain_size, [&](std::int64_t begin, std::int64_t end) {
    std::array<T, piece> sum;
    for (std::int64_t at = begin; at < end; at += piece) {
      const std::int64_t length = std::min(piece, end - at);
      std::copy_n(operands[0] + at, length, sum.data());
      for (std::size_t k = 1; k < operands.size(); ++k)
        for (std::int64_t i = 0; i < length; ++i)
          sum[static_cast<std::size_t>(i)] =
              static_cast<T>(sum[static_cast<std::size_t>(i)] + operands[k][at + i]);
      std::copy_n(sum.data(), length, y + at);
    }
  });
}

}  // namespace

void bind_elementwise(Kernels& all) {
  bind_unary(all);
  bind_binary(all);
  bind_comparisons(all);
  all.set("where", elementwise(Access::broadcast, [](const KernelCall& call) {
            const ConstView &condition = call.operands[0], &a = call.operands[1], &b = call.operands[2];
            with_word(size_of(call.result.dtype), [&]<class W>(W) {
              where(condition.dims, condition.as<bool>(), a.dims, a.as<W>(), b.dims, b.as<W>(),
                    call.result.dims, call.result.as<W>());
            });
          }));
  Kernel accum = elementwise(Access::elementwise, [](const KernelCall& call) {
    arithmetic(call.result.dtype, [&]<class T>(T) { accumulate<T>(call); });
  });
  accum.same_elements = [](std::span<const Type> operands, const Type&, const Attributes&) {
    return operands.size() == 1;
  };
  all.set("accum", std::move(accum));
}

}  // namespace rulegrad::kernels
