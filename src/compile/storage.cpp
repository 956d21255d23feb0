#include "compile/storage.hpp"

#include <algorithm>

namespace rulegrad {
namespace {

constexpr StorageId none = ~StorageId{0};

class Assignment {
 public:
  Assignment(const Flow& flow, bool reuse) : flow_(flow), reuse_(reuse) {
    map_.of.assign(flow.values.size(), none);
  }

  StorageMap run() {
    find_last_uses();
    for (ValueId v = 0; v < flow_.values.size(); ++v) {
      const FlowValue& value = flow_.values[v];
      if (value.source == Source::input) open(v, Home::input, value.index);
      if (value.source == Source::constant) open(v, Home::constant, value.index);
    }
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      for (const ValueId result : flow_.instructions[i].results) place_result(i, result);
    for (ValueId v = 0; v < flow_.values.size(); ++v) map_.of[v] = map_.of[flow_.root(v)];
    return std::move(map_);
  }

 private:
  void find_last_uses() {
    last_.assign(flow_.values.size(), 0);
    output_.assign(flow_.values.size(), none);
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i) {
      for (const ValueId result : flow_.instructions[i].results) last_[result] = i;
      for (const ValueId operand : flow_.instructions[i].operands) last_[flow_.root(operand)] = i;
    }
    for (std::size_t k = flow_.outputs.size(); k-- > 0;) {
      const ValueId root = flow_.root(flow_.outputs[k]);
      last_[root] = flow_.instructions.size();
      output_[root] = static_cast<std::uint32_t>(k);
    }
  }

  void open(ValueId value, Home home, std::uint32_t index, std::size_t first = 0, std::size_t last = 0) {
    map_.of[value] = static_cast<StorageId>(map_.storages.size());
    map_.storages.push_back({home, index, value, first, last});
  }

  void place_result(std::size_t position, ValueId result) {
    const Instruction& instruction = flow_.instructions[position];
    const bool leaves = output_[result] != none;
    const Home home = leaves ? Home::output : Home::arena;
    const std::size_t last = reuse_ ? last_[result] : flow_.instructions.size();
    const StorageId taken = reuse_ && instruction.kernel->in_place ? dying_operand(position, result) : none;
    if (taken == none) {
      open(result, home, leaves ? output_[result] : 0, position, last);
      return;
    }
    ++map_.in_place;
    map_.of[result] = taken;
    Storage& storage = map_.storages[taken];
    storage.last = last;
    if (leaves) {
      storage.home = Home::output;
      storage.index = output_[result];
    }
  }

  /// The memory of an operand of the result's type that dies here and is not read in another shape by the
  /// same call.
  StorageId dying_operand(std::size_t position, ValueId result) const {
    const Instruction& instruction = flow_.instructions[position];
    const Type& type = flow_.values[result].type;
    for (const ValueId operand : instruction.operands) {
      const StorageId candidate = map_.of[flow_.root(operand)];
      const Storage& storage = map_.storages[candidate];
      if (storage.home != Home::arena || storage.last != position) continue;
      const bool fits =
          std::all_of(instruction.operands.begin(), instruction.operands.end(), [&](ValueId other) {
            return map_.of[flow_.root(other)] != candidate || flow_.values[other].type == type;
          });
      if (fits) return candidate;
    }
    return none;
  }

  const Flow& flow_;
  bool reuse_;
  StorageMap map_;
  std::vector<std::size_t> last_;
  std::vector<std::uint32_t> output_;  // by root value: the first output it is
};

}  // namespace

StorageMap assign_storage(const Flow& flow, bool reuse) {
  return Assignment(flow, reuse).run();
}

}  // namespace rulegrad
