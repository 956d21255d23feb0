#include "compile/plan.hpp"

#include <algorithm>

#include "compile/arena.hpp"
#include "compile/memory_limit.hpp"
#include "kernels/blocked/layout.hpp"
#include "tensor/checked.hpp"

namespace rulegrad {
namespace {

/// The portable kernels take at most so many axes.
constexpr std::size_t most_axes = 8;

/// What a plan reads of the program's constants.
class PlannedConstants {
 public:
  PlannedConstants(const Flow& flow, KeptByAddress& kept, Plan& plan)
      : flow_(flow), kept_(kept), plan_(plan) {
    plan.constants.assign(flow.constants.size(), nullptr);
  }

  const std::byte* elements(std::size_t index) {
    const std::byte*& known = plan_.constants[index];
    if (known != nullptr) return known;
    const auto& constant = flow_.constants[index].constant;
    auto value = constant->value();
    known = value->data();
    if (!constant->owns_nothing())
      kept_.try_emplace(
          known, KeptMemory{known, constant, std::move(value), constant->bytes(), constant->block() != 0});
    return known;
  }

  std::shared_ptr<const void> form(std::size_t index, const AnyFormRecipe& recipe) {
    const auto& constant = flow_.constants[index].constant;
    const ConstantForm form = constant->form(recipe);
    kept_.try_emplace(form.value.get(), KeptMemory{form.value.get(), constant, form.value, form.bytes, true});
    return form.value;
  }

 private:
  const Flow& flow_;
  KeptByAddress& kept_;
  Plan& plan_;
};

/// Those among the operands of one step.
class StepConstants final : public ConstantOperands {
 public:
  StepConstants(PlannedConstants& all, const StorageMap& storage, std::span<const StorageId> operands)
      : all_(all), storage_(storage), operands_(operands) {}

  [[nodiscard]] bool is_constant(std::size_t operand) const override {
    return at(operand).home == Home::constant;
  }
  [[nodiscard]] const std::byte* elements(std::size_t operand) override {
    return is_constant(operand) ? all_.elements(at(operand).index) : nullptr;
  }
  [[nodiscard]] std::shared_ptr<const void> form(std::size_t operand, const AnyFormRecipe& recipe) override {
    return all_.form(at(operand).index, recipe);
  }

 private:
  [[nodiscard]] const Storage& at(std::size_t operand) const { return storage_.storages[operands_[operand]]; }

  PlannedConstants& all_;
  const StorageMap& storage_;
  std::span<const StorageId> operands_;
};

class Planning {
 public:
  Planning(const Flow& flow, const StorageMap& storage, const PlanOptions& options, Plan& plan)
      : flow_(flow),
        storage_(storage),
        options_(options),
        reuse_(options.reuse_memory),
        plan_(plan),
        constants_(flow, options.kept, plan) {}

  void run() {
    for (const Storage& s : storage_.storages) plan_.bytes.push_back(bytes_of(type_of(s.value)));
    require_memory();
    for (const Instruction& instruction : flow_.instructions) add_step(instruction);
    for (StorageId s = 0; s < storage_.storages.size(); ++s)
      if (const Storage& storage = storage_.storages[s];
          storage.home == Home::arena && storage.last < plan_.steps.size())
        plan_.steps[storage.last].dies.push_back(s);
    for (const ValueId output : flow_.outputs)
      if (const Storage& storage = storage_.storages[storage_.of[output]]; storage.home == Home::constant)
        (void)constants_.elements(storage.index);
    lay_out();
  }

 private:
  std::size_t bytes_of(const Type& type) const {
    return static_cast<std::size_t>(checked::product(element_count(type.shape.at(plan_.extents)),
                                                     static_cast<std::int64_t>(size_of(type.dtype)),
                                                     "the number of bytes"));
  }

  /// Each value, before kernels are prepared for it.
  void require_memory() {
    for (const Instruction& instruction : flow_.instructions)
      for (std::size_t k = 0; k < instruction.results.size(); ++k)
        budget_.add(bytes_of(type_of(instruction.results[k])), instruction.label_of(k));
  }

  std::span<const std::int64_t> keep(Dims dims) { return plan_.dims.emplace_back(std::move(dims)); }

  void add_step(const Instruction& instruction) {
    PlannedStep step;
    for (const ValueId operand : instruction.operands) step.operand_storages.push_back(storage_.of[operand]);
    for (const ValueId result : instruction.results) step.result_storages.push_back(storage_.of[result]);
    if (!type_of(instruction.result()).shape.sampled() || broadcasts_samples(instruction))
      call_once(instruction, step);
    else if (const auto rows = sampled_rows(instruction); !rows.empty())
      call_with_larger_batch(instruction, rows, step);
    else
      call_for_each_sample(instruction, step);
    show_layouts(instruction, step);
    prepare(instruction, step);
    plan_.steps.push_back(std::move(step));
  }

  void prepare(const Instruction& instruction, PlannedStep& step) {
    const Kernel& kernel = *instruction.kernel;
    const KernelCall call = step.call(instruction.attributes);
    StepConstants constants(constants_, storage_, step.operand_storages);
    const Interval& interval = flow_.values[instruction.result()].interval;
    if (kernel.prepare)
      step.prepared = kernel.prepare({call, instruction.precision, constants, interval.low, interval.high});
    if (step.prepared)
      step.scratch_bytes = step.prepared->scratch_bytes;
    else if (kernel.scratch)
      step.scratch_bytes = kernel.scratch(call);
    for (std::size_t k = 0; k < step.operands.size(); ++k)
      if (!step.prepared || std::ranges::find(step.prepared->unread, k) == step.prepared->unread.end())
        (void)constants.elements(k);
  }

  /// Kernels that know layouts are told them; those that broadcast see blocks of channels as one more axis.
  void show_layouts(const Instruction& instruction, PlannedStep& step) {
    const Kernel& kernel = *instruction.kernel;
    const std::int64_t block = flow_.values[instruction.result()].block;
    if (kernel.access == Access::any) {
      for (std::size_t k = 0; k < step.results.size(); ++k)
        step.results[k].block = flow_.values[instruction.results[k]].block;
      for (std::size_t k = 0; k < step.operands.size(); ++k)
        step.operands[k].block = flow_.values[instruction.operands[k]].block;
    } else if (kernel.access == Access::broadcast && block != 0) {
      const std::size_t rank = step.results.front().dims.size(),
                        channel = rank - type_of(instruction.result()).shape.rank() + 1;
      for (ConstView& operand : step.operands) {
        const std::size_t missing = rank - operand.dims.size();
        // A number stays one; an array without the axis gets no block either.
        if (!operand.dims.empty())
          operand.dims = keep(kernels::blocked::shown_dims(
              operand.dims, channel >= missing ? channel - missing : operand.dims.size(), block));
      }
      for (MutableView& result : step.results)
        result.dims = keep(kernels::blocked::shown_dims(result.dims, channel, block));
    }
  }

  const Type& type_of(ValueId value) const { return flow_.values[value].type; }
  bool sampled(ValueId value) const { return type_of(value).shape.sampled(); }

  /// True if the sample axis may become the outermost axis that the kernel sees.
  bool broadcasts_samples(const Instruction& instruction) const {
    if (type_of(instruction.result()).shape.rank() >= most_axes) return false;
    switch (instruction.kernel->access) {
      case Access::broadcast:
        return true;
      case Access::elementwise:
        return std::all_of(instruction.operands.begin(), instruction.operands.end(),
                           [&](ValueId operand) { return sampled(operand); });
      case Access::any:
        break;
    }
    return false;
  }

  /// By operand, whether its samples are more entries of the batch; empty if the call has no such form.
  std::vector<bool> sampled_rows(const Instruction& instruction) const {
    if (!instruction.kernel->rows) return {};
    std::vector<Type> types;
    for (const ValueId operand : instruction.operands) types.push_back(type_of(operand));
    const Shape& result = type_of(instruction.result()).shape;
    std::vector<bool> is_row(types.size());
    for (const std::size_t k :
         instruction.kernel->rows(types, type_of(instruction.result()), instruction.attributes)) {
      if (result.rank() == 0 || types[k].shape.rank() == 0 || types[k].shape[0] != result[0]) return {};
      is_row[k] = true;
    }
    for (std::size_t k = 0; k < types.size(); ++k)
      if (is_row[k] != types[k].shape.sampled()) return {};
    return is_row;
  }

  /// The samples of an array, one below the other.
  Dims stacked(const Type& type) const {
    Dims dims = type.shape.with_samples(false).at(plan_.extents);
    dims[0] = checked::product(dims[0], plan_.extents.samples);
    return dims;
  }

  /// All axes are shown. A sampled operand of lower rank than the result gets ones behind its sample axis, so
  /// that the others still align.
  void call_once(const Instruction& instruction, PlannedStep& step) {
    const std::size_t rank = type_of(instruction.result()).shape.rank();
    for (const ValueId operand : instruction.operands) {
      const Type& type = type_of(operand);
      Dims dims = type.shape.at(plan_.extents);
      if (type.shape.sampled() && rank > type.shape.rank())
        dims.insert(dims.begin() + 1, rank - type.shape.rank(), 1);
      step.operands.push_back({type.dtype, keep(std::move(dims)), nullptr});
      step.operand_steps.push_back(0);
    }
    for (const ValueId result : instruction.results)
      add_result(step, type_of(result), type_of(result).shape.at(plan_.extents), 0);
  }

  void call_with_larger_batch(const Instruction& instruction, const std::vector<bool>& rows,
                              PlannedStep& step) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const Type& type = type_of(instruction.operands[k]);
      step.operands.push_back(
          {type.dtype, keep(rows[k] ? stacked(type) : type.shape.at(plan_.extents)), nullptr});
      step.operand_steps.push_back(0);
    }
    for (const ValueId result : instruction.results)
      add_result(step, type_of(result), stacked(type_of(result)), 0);
  }

  void call_for_each_sample(const Instruction& instruction, PlannedStep& step) {
    step.repeats = plan_.extents.samples;
    const auto one = [&](const Type& type) { return Type{type.dtype, type.shape.with_samples(false)}; };
    for (const ValueId operand : instruction.operands) {
      const Type type = one(type_of(operand));
      step.operands.push_back({type.dtype, keep(type.shape.at(plan_.extents)), nullptr});
      step.operand_steps.push_back(sampled(operand) ? bytes_of(type) : 0);
    }
    for (const ValueId result : instruction.results) {
      const Type type = one(type_of(result));
      add_result(step, type, type.shape.at(plan_.extents), bytes_of(type));
    }
  }

  void add_result(PlannedStep& step, const Type& type, Dims dims, std::size_t moves) {
    step.results.push_back({type.dtype, keep(std::move(dims)), nullptr});
    step.result_steps.push_back(moves);
  }

  void lay_out() {
    std::vector<Lifetime> lifetimes;
    for (StorageId s = 0; s < storage_.storages.size(); ++s) {
      const Storage& storage = storage_.storages[s];
      lifetimes.push_back({storage.home == Home::arena ? plan_.bytes[s] : 0, storage.first, storage.last});
    }
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      budget_.add(plan_.steps[i].scratch_bytes, "the scratch memory of " + flow_.instructions[i].label);
      lifetimes.push_back({plan_.steps[i].scratch_bytes, reuse_ ? i : 0, reuse_ ? i : plan_.steps.size()});
    }
    ArenaPlan arena = plan_arena(lifetimes);
    plan_.arena_bytes = arena.bytes;
    std::size_t results = 0;
    for (StorageId s = 0; s < storage_.storages.size(); ++s)
      if (storage_.storages[s].home == Home::output) results += plan_.bytes[s];
    budget_.require(arena.bytes + results);
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      plan_.steps[i].scratch_offset = arena.offsets[storage_.storages.size() + i];
      plan_.unplanned_bytes += aligned(plan_.steps[i].scratch_bytes);
    }
    arena.offsets.resize(storage_.storages.size());
    plan_.offsets = std::move(arena.offsets);

    std::vector<bool> is_output(flow_.values.size());
    for (const ValueId output : flow_.outputs) is_output[flow_.root(output)] = true;
    for (const Instruction& instruction : flow_.instructions)
      for (const ValueId result : instruction.results)
        if (!is_output[result]) plan_.unplanned_bytes += aligned(bytes_of(type_of(result)));
  }

  const Flow& flow_;
  const StorageMap& storage_;
  const PlanOptions& options_;
  bool reuse_;
  Plan& plan_;
  PlannedConstants constants_;
  MemoryBudget budget_;
};

}  // namespace

std::size_t PlannedStep::bytes() const {
  std::size_t total = 0;
  const auto add = [&](const auto& view) {
    total += static_cast<std::size_t>(view.count() * repeats) * size_of(view.dtype);
  };
  std::for_each(operands.begin(), operands.end(), add);
  std::for_each(results.begin(), results.end(), add);
  return total;
}

void make_plan(const Flow& flow, const StorageMap& storage, const PlanOptions& options, Plan& plan) {
  Planning(flow, storage, options, plan).run();
}

}  // namespace rulegrad
