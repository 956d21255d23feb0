#include "compile/estimated_work.hpp"

#include <cmath>

namespace rulegrad {
namespace {

constexpr double bytes_each = 16e3, multiplications_each = 20e3;  // a microsecond

}  // namespace

double estimated_microseconds(const Flow& flow, const Extents& extents) {
  const auto elements = [&](ValueId value) {
    return static_cast<double>(element_count(flow.values[value].type.shape.at(extents)));
  };
  double bytes = 0, multiplications = 0;
  for (const Instruction& instruction : flow.instructions) {
    const auto add = [&](ValueId value) {
      bytes += elements(value) * static_cast<double>(size_of(flow.values[value].type.dtype));
    };
    for (const ValueId operand : instruction.operands) add(operand);
    for (const ValueId result : instruction.results) add(result);
    // The extents of a product [m, k] [k, n] come twice in the counts of its three matrices. Of a convolution
    // that is too little, by the root of the kernel's positions.
    if (instruction.kernel->contraction && instruction.operands.size() >= 2)
      for (const ValueId result : instruction.results)
        multiplications += std::sqrt(elements(instruction.operands[0]) * elements(instruction.operands[1]) *
                                     elements(result));
  }
  return bytes / bytes_each + multiplications / multiplications_each;
}

}  // namespace rulegrad
