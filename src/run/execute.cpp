#include <algorithm>
#include <chrono>
#include <cstring>

#include "rulegrad/support/error.hpp"

#include "compile/facts_check.hpp"
#include "kernels/finite.hpp"
#include "kernels/invoke.hpp"
#include "kernels/kernel_paths.hpp"
#include "run/program_data.hpp"

namespace rulegrad {
namespace {

// Only counted: the kernel has a batch, or there are no samples.
const KernelPath once_path("program: a call for all samples or none", KernelPath::Choice::only);
// Only counted: the kernel has no batch.
const KernelPath each_path("program: a call for each sample", KernelPath::Choice::only);

using Clock = std::chrono::steady_clock;

/// All bits set is a NaN in both floating dtypes.
constexpr auto poison_byte = std::byte{0xff};

}  // namespace

void Program::Data::execute(const Plan& plan, std::span<std::byte* const> bases, std::byte* arena,
                            const RunOptions& options) const {
  if (poison) {
    std::fill_n(arena, plan.arena_bytes, poison_byte);
    // New memory of a result may hold what an earlier run left there: an element that is never written would be
    // right by chance.
    for (StorageId s = 0; s < bases.size(); ++s)
      if (storage.storages[s].home == Home::output) std::fill_n(bases[s], plan.bytes[s], poison_byte);
  }
  std::vector<ConstView> views;
  std::vector<MutableView> results;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    const Instruction& instruction = flow.instructions[i];
    if (options.stop.stop_requested())
      throw Error(ErrorCode::cancelled, "[program] the run was cancelled before " + instruction.label);
    views.assign(step.operands.begin(), step.operands.end());
    for (std::size_t k = 0; k < views.size(); ++k) views[k].data = bases[step.operand_storages[k]];
    results.assign(step.results.begin(), step.results.end());
    for (std::size_t k = 0; k < results.size(); ++k) results[k].data = bases[step.result_storages[k]];
    const std::span<std::byte> scratch(arena + step.scratch_offset, step.scratch_bytes);
    (step.repeats == 1 ? once_path : each_path).taken();
    const auto start = options.observe ? Clock::now() : Clock::time_point();
    for (std::int64_t sample = 0; sample < step.repeats; ++sample) {
      try {
        invoke(step.prepared ? step.prepared->run : instruction.kernel->run, instruction.label,
               {views, results.front(), instruction.attributes, scratch, std::span(results).subspan(1)});
      } catch (const NonFiniteOperand& found) {
        fail_operand(instruction, found, plan.extents);
      }
      for (std::size_t k = 0; k < views.size(); ++k) views[k].data += step.operand_steps[k];
      for (std::size_t k = 0; k < results.size(); ++k) results[k].data += step.result_steps[k];
    }
    if (options.observe) {
      const auto ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
      options.observe({instruction.op, instruction.label, instruction.kernel->contraction, step.bytes(), ms});
    }
    if (check_finite && instruction.kernel->contraction && !instruction.checked_by_reader)
      for (std::size_t k = 0; k < instruction.results.size(); ++k) {
        const FlowValue& value = flow.values[instruction.results[k]];
        require_finite_result(instruction.label_of(k), value.type.dtype, value.type.shape, plan.extents,
                              value.block, bases[step.result_storages[k]]);
      }
    if (check_facts)
      for (std::size_t k = 0; k < instruction.results.size(); ++k) {
        const FlowValue& value = flow.values[instruction.results[k]];
        require_interval(instruction.label_of(k), value.interval, value.type.dtype, value.type.shape,
                         plan.extents, value.block, bases[step.result_storages[k]]);
      }
    if (poison) {
      std::fill(scratch.begin(), scratch.end(), poison_byte);
      for (const StorageId dead : step.dies) std::fill_n(bases[dead], plan.bytes[dead], poison_byte);
    }
  }
}

void Program::Data::fail_operand(const Instruction& instruction, const NonFiniteOperand& found,
                                 const Extents& extents) const {
  const FlowValue& value = flow.values[instruction.operands[found.operand]];
  fail_non_finite_result(flow.instructions[value.index].label, value.type.dtype, value.type.shape, extents,
                         value.block, found.value, found.position);
}

void Program::Data::check_output(std::size_t position, DType dtype, const Dims& dims,
                                 const std::byte* values) const {
  if (!check_outputs) return;
  const auto at = first_non_finite(dtype, values, element_count(dims));
  if (!at) return;
  std::string label = "[program] output " + std::to_string(position);
  if (!flow.values.empty()) {
    const ValueId output = flow.root(flow.outputs[position]);
    if (const FlowValue& value = flow.values[output]; value.source == Source::instruction) {
      const Instruction& instruction = flow.instructions[value.index];
      label = instruction.label_of(static_cast<std::size_t>(std::ranges::find(instruction.results, output) -
                                                            instruction.results.begin()));
    }
  }
  fail_non_finite(label, "gave",
                  dtype == DType::float64
                      ? "a value left the range of float64, was divided by 0, or left the domain of a "
                        "function: scale the input, or compile with check_finite off"
                      : "a value left the range of the dtype, or was divided by 0: scale the input, compute "
                        "in float64, or compile with check_finite off",
                  dtype, dims, values, *at);
}

}  // namespace rulegrad
