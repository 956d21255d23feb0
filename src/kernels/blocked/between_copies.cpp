#include "kernels/blocked/between_copies.hpp"

#include <algorithm>

#include "kernels/blocked/layout.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels::blocked {
namespace {

// Only counted: what a layout was planned for and oneDNN has no primitive for.
const KernelPath copies_path("conv: portable between copies of blocks of channels", KernelPath::Choice::only);

/// Of the copy of an operand or result, in whole cache lines; 0 where it lies row-major already.
template <class View>
std::size_t copy_bytes(const View& view) {
  return view.block == 0 ? 0 : (static_cast<std::size_t>(view.count()) * size_of(view.dtype) + 63) / 64 * 64;
}

void run_between_copies(const Kernel& row_major, std::size_t copies, const KernelCall& call) {
  copies_path.taken();
  std::byte* free = call.scratch.data();
  std::vector<ConstView> operands(call.operands.begin(), call.operands.end());
  for (ConstView& operand : operands) {
    if (operand.block == 0) continue;
    const std::size_t bytes = copy_bytes(operand);
    reorder(operand, {operand.dtype, operand.dims, free});
    operand.data = free;
    operand.block = 0;
    free += bytes;
  }
  KernelCall plain{operands, call.result, call.attributes, call.scratch.subspan(copies)};
  if (call.result.block != 0) plain.result = {call.result.dtype, call.result.dims, free};
  row_major.run(plain);
  if (call.result.block != 0) reorder({call.result.dtype, call.result.dims, free}, call.result);
}

}  // namespace

std::optional<PreparedCall> between_copies(const Kernel& row_major, const KernelCall& shapes) {
  std::size_t copies = copy_bytes(shapes.result);
  bool any = shapes.result.block != 0;
  for (const ConstView& operand : shapes.operands) {
    copies += copy_bytes(operand);
    any = any || operand.block != 0;
  }
  if (!any) return std::nullopt;
  const std::size_t own = row_major.scratch ? row_major.scratch(shapes) : 0;
  return PreparedCall{
      [row_major, copies](const KernelCall& call) { run_between_copies(row_major, copies, call); },
      copies + own, "portable"};
}

}  // namespace rulegrad::kernels::blocked
