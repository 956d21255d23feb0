#include "compile/layouts.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <utility>
#include <vector>

#include "kernels/blocked/layout.hpp"

namespace rulegrad {
namespace {

bool may_be_blocked(const Type& type, std::int64_t block) {
  const Shape& shape = type.shape;
  return shape.rank() >= 3 && shape.rank() <= 5 && !shape[1].batch && shape[1].factor % block == 0;
}

/// One position: channels lie one after the other in either layout.
bool one_position(const Shape& shape) {
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    if (!shape[axis].is(1)) return false;
  return true;
}

class Layouts {
 public:
  Layouts(Flow flow, ConstantStore& store) : old_(std::move(flow)), store_(store) {}

  Flow run() {
    first_.resize(old_.values.size());
    new_.inputs = std::move(old_.inputs);
    new_.constants = std::move(old_.constants);
    for (ValueId v = 0; v < old_.values.size(); ++v) take_over(v);
    for (const ValueId output : old_.outputs) new_.outputs.push_back(in(output, 0));
    return std::move(new_);
  }

 private:
  const Type& type(ValueId old) const { return old_.values[old].type; }
  /// The layout a value was computed in.
  std::int64_t block_of(ValueId old) const { return new_.values[first_[old]].block; }

  void take_over(ValueId old) {
    const FlowValue& value = old_.values[old];
    switch (value.source) {
      case Source::input:
      case Source::constant:
        return define(old, add(value.source, value.index, old, 0));
      case Source::same_elements: {
        // Only the same extents mean the same place in any layout.
        const std::int64_t block = type(value.index).shape == value.type.shape ? block_of(value.index) : 0;
        return define(old, add(Source::same_elements, in(value.index, block), old, block));
      }
      case Source::instruction:
        return place(std::move(old_.instructions[value.index]));
    }
  }

  /// The old value in a place of the new flow.
  ValueId add(Source source, std::size_t index, ValueId old, std::int64_t block) {
    new_.values.push_back(
        {source, static_cast<std::uint32_t>(index), type(old), block, old_.values[old].interval});
    return static_cast<ValueId>(new_.values.size() - 1);
  }

  void define(ValueId old, ValueId made) {
    first_[old] = made;
    made_.emplace(std::pair(old, new_.values[made].block), made);
  }

  void place(Instruction instruction) {
    const Blocks blocks = blocks_of(instruction);
    for (std::size_t k = 0; k < instruction.operands.size(); ++k)
      instruction.operands[k] = in(instruction.operands[k], blocks.operands[k]);
    const ValueId old = instruction.result();
    instruction.results = {add(Source::instruction, new_.instructions.size(), old, blocks.result)};
    define(old, instruction.result());
    new_.instructions.push_back(std::move(instruction));
  }

  Blocks blocks_of(const Instruction& instruction) const {
    const Type& result = type(instruction.result());
    if (instruction.kernel->layouts) {
      std::vector<Type> types;
      std::vector<std::int64_t> given;
      for (const ValueId operand : instruction.operands) {
        types.push_back(type(operand));
        given.push_back(block_of(operand));
      }
      return instruction.kernel->layouts(types, given, result, instruction.attributes);
    }
    Blocks plain{std::vector<std::int64_t>(instruction.operands.size(), 0), 0};
    if (instruction.kernel->access == Access::any) return plain;
    return follow(instruction).value_or(std::move(plain));
  }

  /// Element by element: as the operands of the result's shape are, if any of them is blocked.
  std::optional<Blocks> follow(const Instruction& instruction) const {
    const Type& result = type(instruction.result());
    Blocks blocks{std::vector<std::int64_t>(instruction.operands.size(), 0), 0};
    for (const ValueId operand : instruction.operands)
      if (type(operand).shape.rank() == result.shape.rank())
        blocks.result = std::max(blocks.result, block_of(operand));
    if (blocks.result == 0 || !may_be_blocked(result, blocks.result)) return std::nullopt;
    for (std::size_t k = 0; k < blocks.operands.size(); ++k) {
      const Shape& shape = type(instruction.operands[k]).shape;
      const std::size_t missing = result.shape.rank() - shape.rank();
      if (missing > 1 || shape[1 - missing].is(1)) continue;
      if (missing == 0)
        blocks.operands[k] = blocks.result;
      else if (!shape[1].is(1) || !one_position(shape))
        return std::nullopt;
    }
    return blocks;
  }

  /// The value in this layout, copied if it has not been before.
  ValueId in(ValueId old, std::int64_t block) {
    const auto found = made_.find({old, block});
    if (found != made_.end()) return found->second;
    const ValueId made = converted(old, block);
    made_.emplace(std::pair(old, block), made);
    return made;
  }

  ValueId converted(ValueId old, std::int64_t block) {
    const ValueId from = first_[old];
    if (one_position(type(old).shape)) return add(Source::same_elements, from, old, block);
    if (new_.values[from].source == Source::constant) {
      const ProgramConstant plain = new_.constants[new_.values[from].index];
      Derivation copy{.kernel = reorder(),
                      .dtype = plain.constant->dtype(),
                      .dims = plain.constant->dims(),
                      .operands = {plain.constant},
                      .block = block};
      new_.constants.push_back({plain.name, store_.derived(std::move(copy), "reorder " + plain.name)});
      return add(Source::constant, new_.constants.size() - 1, old, block);
    }
    const ValueId result = add(Source::instruction, new_.instructions.size(), old, block);
    new_.instructions.push_back(
        {"reorder",
         fmt::format("reorder to {}", block == 0 ? "rows" : fmt::format("blocks of {} channels", block)),
         reorder(),
         {},
         {from},
         {result}});
    return result;
  }

  /// One for all, as copies of constants are found by their kernel.
  static const std::shared_ptr<const Kernel>& reorder() {
    static const auto kernel = std::make_shared<const Kernel>(kernels::blocked::reorder_kernel());
    return kernel;
  }

  Flow old_, new_;
  ConstantStore& store_;
  std::vector<ValueId> first_;                                // by old value: as it was computed
  std::map<std::pair<ValueId, std::int64_t>, ValueId> made_;  // by old value and layout
};

}  // namespace

Flow with_layouts(Flow flow, ConstantStore& store) {
  const bool any = std::any_of(
      flow.instructions.begin(), flow.instructions.end(),
      [](const Instruction& instruction) { return static_cast<bool>(instruction.kernel->layouts); });
  return any ? Layouts(std::move(flow), store).run() : std::move(flow);
}

}  // namespace rulegrad
