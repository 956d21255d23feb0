#include "compile/fuse.hpp"

#include <algorithm>
#include <utility>

#include "compile/fused_call.hpp"
#include "compile/fusion_groups.hpp"

namespace rulegrad {
namespace {

/// The flow with one instruction for each group.
class Fusing {
 public:
  Fusing(Flow flow, std::vector<FusionGroup> groups, bool check_finite)
      : flow_(std::move(flow)),
        groups_(std::move(groups)),
        check_finite_(check_finite),
        leaves_(flow_.values.size()),
        looked_through_(flow_.values.size()) {}

  Flow run() {
    for (const FlowValue& value : flow_.values) old_index_.push_back(value.index);
    for (const Instruction& instruction : flow_.instructions)
      contracts_.push_back(instruction.kernel->contraction && instruction.results.size() == 1);
    find_leaves();
    std::vector<Instruction> instructions;
    instructions.reserve(flow_.instructions.size());
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g].members.empty()) continue;
      for (const std::size_t member : groups_[g].members)
        for (const ValueId result : flow_.instructions[member].results)
          flow_.values[result].index = static_cast<std::uint32_t>(instructions.size());
      instructions.push_back(instruction_of(g));
      flow_.fused += groups_[g].members.size() - 1;
    }
    for (ValueId value = 0; value < looked_through_.size(); ++value)
      if (looked_through_[value]) instructions[flow_.values[value].index].checked_by_reader = true;
    flow_.instructions = std::move(instructions);
    return std::move(flow_);
  }

 private:
  /// What leaves the group that computes it.
  void find_leaves() {
    for (const ValueId output : flow_.outputs) leaves_[flow_.root(output)] = true;
    std::vector<std::size_t> group_of(flow_.instructions.size());
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const std::size_t member : groups_[g].members) group_of[member] = g;
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      for (const ValueId operand : flow_.instructions[i].operands) {
        const ValueId root = flow_.root(operand);
        const FlowValue& value = flow_.values[root];
        if (value.source == Source::instruction && group_of[value.index] != group_of[i]) leaves_[root] = true;
      }
  }

  /// A contraction's result, whole and as it is: its reader can look through it.
  bool can_look_through(std::size_t g, ValueId operand) const {
    const FlowValue& value = flow_.values[operand];
    if (!check_finite_ || value.source != Source::instruction) return false;
    const FusionFrame& frame = groups_[g].frame;
    return contracts_[old_index_[operand]] && value.block == frame.block && value.type.shape == frame.shape;
  }

  /// Of a group whose instructions nobody asks for afterwards.
  Instruction instruction_of(std::size_t g) {
    const auto& members = groups_[g].members;
    Instruction& last = flow_.instructions[members.back()];
    const auto reads_contraction = [&] {
      return std::any_of(last.operands.begin(), last.operands.end(),
                         [&](ValueId operand) { return can_look_through(g, operand); });
    };
    if (members.size() == 1 && (!groups_[g].fusible || !reads_contraction())) return std::move(last);

    Instruction made{{}, last.label, nullptr, {}, {}, {}};
    const FusionFrame& frame = groups_[g].frame;
    FusedGroup group;
    if (frame.row_axis) {
      group.rows = {*frame.row_axis, {}};
      for (std::size_t i = *frame.row_axis; i < frame.shape.rank(); ++i)
        group.rows->extents.push_back(frame.shape[i].factor);
    }
    // An operand that both elements and rows are computed from is two.
    const auto place_of = [&](ValueId value) { return frame.place_of(flow_.values[value].type.shape); };
    const auto place_for = [&](const Instruction& instruction) {
      return instruction.kernel->access == Access::any ? FusedGroup::Place{} : place_of(instruction.result());
    };
    // Groups are small: what they read and compute is looked for one after the other.
    const auto computed = [&](ValueId value) {
      return std::find_if(members.begin(), members.end(),
                          [&](std::size_t member) { return flow_.instructions[member].result() == value; }) -
             members.begin();
    };
    const auto inside = static_cast<std::ptrdiff_t>(members.size());
    const auto operand_at = [&](ValueId value, const FusedGroup::Place& place) {
      std::size_t at = 0;
      while (at < made.operands.size() && (made.operands[at] != value || group.operands[at] != place)) ++at;
      return at;
    };
    for (const std::size_t member : members) {
      const Instruction& instruction = flow_.instructions[member];
      for (const ValueId operand : instruction.operands)
        if (const auto place = place_for(instruction);
            computed(operand) == inside && operand_at(operand, place) == made.operands.size()) {
          made.operands.push_back(operand);
          group.operands.push_back(place);
        }
    }
    const std::size_t outside = made.operands.size();
    for (const std::size_t member : members) {
      Instruction& instruction = flow_.instructions[member];
      FusedGroup::Reads reads;
      for (const ValueId operand : instruction.operands) {
        const std::ptrdiff_t made_by = computed(operand);
        reads.push_back(static_cast<std::uint32_t>(made_by == inside
                                                       ? operand_at(operand, place_for(instruction))
                                                       : outside + static_cast<std::size_t>(made_by)));
      }
      const ValueId result = instruction.result();
      group.operations.push_back({instruction.kernel, instruction.attributes, flow_.values[result].type.dtype,
                                  std::move(reads), place_of(result)});
      if (!made.op.empty()) made.op += '+';
      made.op += instruction.op;
      if (leaves_[result]) {
        group.results.push_back(static_cast<std::uint32_t>(group.operations.size() - 1));
        made.results.push_back(result);
        made.result_labels.push_back(std::move(instruction.label));
      }
    }
    for (std::uint32_t k = 0; k < made.operands.size(); ++k)
      if (can_look_through(g, made.operands[k]) && !looked_through_[made.operands[k]]) {
        group.looked_through.push_back(k);
        looked_through_[made.operands[k]] = true;
      }
    made.kernel = std::make_shared<const Kernel>(fused_kernel(std::move(group)));
    return made;
  }

  Flow flow_;
  std::vector<FusionGroup> groups_;
  bool check_finite_;
  std::vector<bool> leaves_;              // by root value: an output, or read by another group
  std::vector<bool> contracts_;           // by instruction, before fusion
  std::vector<std::uint32_t> old_index_;  // by value: of the instruction that computes it, before fusion
  std::vector<bool> looked_through_;      // by value
};

}  // namespace

Flow with_fusion(Flow flow, bool check_finite) {
  if (!fuses()) return flow;
  std::vector<FusionGroup> groups = fusion_groups(flow);
  return Fusing(std::move(flow), std::move(groups), check_finite).run();
}

}  // namespace rulegrad
