#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "run/program_data.hpp"
#include "run/staged_program.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

class Printing {
 public:
  Printing(const Flow& flow, const StorageMap& storage, const Plan& plan)
      : flow_(flow), storage_(storage), plan_(plan) {}

  std::string run() const {
    std::string text = fmt::format(
        "batch {}, samples {}: {} instructions, arena {} bytes ({} without reuse)\n", plan_.extents.batch,
        plan_.extents.samples, flow_.instructions.size(), plan_.arena_bytes, plan_.unplanned_bytes);
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i) text += line(i) + "\n";
    std::vector<std::string> results;
    for (const ValueId output : flow_.outputs) results.push_back(name(output));
    return text + fmt::format("return {}\n", join(results));
  }

 private:
  std::string line(std::size_t position) const {
    const Instruction& instruction = flow_.instructions[position];
    const PlannedStep& step = plan_.steps[position];
    std::vector<std::string> operands, dead;
    for (const ValueId operand : instruction.operands) operands.push_back(name(operand));
    for (const StorageId s : step.dies) dead.push_back(place(s));
    const std::string attributes = to_string(instruction.attributes);
    std::vector<std::string> results, places;
    for (std::size_t k = 0; k < instruction.results.size(); ++k) {
      const ValueId result = instruction.results[k];
      const Type& type = flow_.values[result].type;
      const Dims dims = type.shape.at(plan_.extents);
      results.push_back(name(result));
      places.push_back(fmt::format("{}{} in {}", name_of(type.dtype),
                                   to_string(std::span<const std::int64_t>(dims)),
                                   place(step.result_storages[k])));
      if (const auto over = overwritten(instruction, result))
        places.back() += fmt::format(", over {}", name(*over));
    }
    std::string text = fmt::format("{} = {}({}){}{} : {}", join(results), instruction.op, join(operands),
                                   attributes.empty() ? "" : " ", attributes, join(places));
    if (const std::int64_t block = flow_.values[instruction.result()].block; block != 0)
      text += fmt::format(", channels in blocks of {}", block);
    if (step.prepared) text += ", by " + step.prepared->implementation;
    if (step.repeats != 1) text += fmt::format(", once for each of {} samples", step.repeats);
    if (step.scratch_bytes != 0)
      text += fmt::format(", scratch {}+{}", step.scratch_offset, step.scratch_bytes);
    if (!dead.empty()) text += "; frees " + join(dead);
    return text;
  }

  std::string name(ValueId value) const {
    value = flow_.root(value);
    const std::uint32_t index = flow_.values[value].index;
    if (flow_.values[value].source == Source::input) return fmt::format("'{}'", flow_.inputs[index].name);
    if (flow_.values[value].source == Source::instruction) {
      const auto& results = flow_.instructions[index].results;
      return results.size() == 1
                 ? fmt::format("%{}", index)
                 : fmt::format("%{}.{}", index,
                               std::find(results.begin(), results.end(), value) - results.begin());
    }
    const ProgramConstant& constant = flow_.constants[index];
    if (constant.constant->dims().empty()) return shortest(constant.constant->value()->at(0));
    return constant.name.empty() ? fmt::format("c{}", index) : fmt::format("'{}'", constant.name);
  }

  std::string place(StorageId s) const {
    const Storage& storage = storage_.storages[s];
    if (storage.home == Home::output) return fmt::format("output {}", storage.index);
    return fmt::format("arena {}+{}", plan_.offsets[s], plan_.bytes[s]);
  }

  /// The operand whose memory the result takes over.
  std::optional<ValueId> overwritten(const Instruction& instruction, ValueId result) const {
    for (const ValueId operand : instruction.operands)
      if (storage_.of[operand] == storage_.of[result]) return operand;
    return std::nullopt;
  }

  const Flow& flow_;
  const StorageMap& storage_;
  const Plan& plan_;
};

}  // namespace

std::string Program::print(const Extents& extents) const {
  if (data_->staged) return data_->staged->print(extents);
  return Printing(data_->flow, data_->storage, *data_->plan(extents)).run();
}

}  // namespace rulegrad
