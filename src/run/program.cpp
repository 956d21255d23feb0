#include "rulegrad/run/program.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <omp.h>
#include <optional>
#include <pthread.h>
#include <string_view>

#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/estimated_work.hpp"
#include "compile/facts_check.hpp"
#include "compile/fast_contractions.hpp"
#include "compile/fold.hpp"
#include "compile/fuse.hpp"
#include "compile/join_sweeps.hpp"
#include "compile/layouts.hpp"
#include "kernels/denormals.hpp"
#include "kernels/finite.hpp"
#include "kernels/invoke.hpp"
#include "kernels/kernel_paths.hpp"
#include "run/bind_inputs.hpp"
#include "run/measured_precision.hpp"
#include "run/program_data.hpp"
#include "run/staged_program.hpp"

namespace rulegrad {
namespace {

const KernelPath once_path("program: a call for all samples or none");
const KernelPath each_path("program: a call for each sample");

using Clock = std::chrono::steady_clock;

constexpr std::size_t kept_plans = 8;
/// OpenMP ends the process where the system has no room for more.
constexpr int most_threads = 1024;
constexpr std::size_t large_fold = std::size_t{64} << 20;
/// All bits set is a NaN in both floating dtypes.
constexpr int poison_byte = 0xff;

bool poison_wanted() {
  const char* value = std::getenv("RULEGRAD_POISON");
  return value != nullptr && std::string_view(value) == "1";
}

/// The thread that called fork() takes its OpenMP threads along into the child by name only: libgomp would
/// wait there for ever for those that it remembers. Threads that the child makes are not concerned.
thread_local bool forked = false;
[[maybe_unused]] const int told_of_forks = ::pthread_atfork(nullptr, nullptr, [] {
  forked = true;
  omp_set_num_threads(1);
});

/// The number of OpenMP threads of the calling thread, as long as this lives.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) {
    if (threads > 0 && !forked) omp_set_num_threads(threads);
  }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
  ~ThreadCount() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace

std::shared_ptr<const Plan> Program::Data::plan(const Extents& extents) const {
  const int allowed = omp_get_max_threads();
  const std::lock_guard lock(plans_mutex_);
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const auto& p) {
    return p->extents == extents && p->allowed == allowed;
  });
  if (found != plans_.end()) {
    std::rotate(found, found + 1, plans_.end());
    return plans_.back();
  }
  auto made = std::make_shared<Plan>();
  made->extents = extents;
  made->allowed = allowed;
  made->threads = little_on_one_thread && estimated_microseconds(flow, extents) < little_work ? 1 : allowed;
  const ThreadCount threads(made->threads);
  const DenormalsAreZero flush(flush_denormals);  // while constants are computed
  make_plan(flow, storage, {reuse_memory, kept_}, *made);
  for (const auto& [address, memory] : kept_) store->note(memory);
  fresh.clear();
  store->trim();
  if (plans_.size() == kept_plans) plans_.erase(plans_.begin());
  plans_.push_back(std::move(made));
  return plans_.back();
}

void Program::Data::add_kept(KeptByAddress& all) const {
  const std::lock_guard lock(plans_mutex_);
  all.insert(kept_.begin(), kept_.end());
}

void Program::Data::execute(const Plan& plan, std::span<std::byte* const> bases, std::byte* arena,
                            const RunOptions& options) const {
  if (poison) {
    std::memset(arena, poison_byte, plan.arena_bytes);
    // New memory of a result may hold what an earlier run left there: an element that is never written would be
    // right by chance.
    for (StorageId s = 0; s < bases.size(); ++s)
      if (storage.storages[s].home == Home::output) std::memset(bases[s], poison_byte, plan.bytes[s]);
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
        const Value& value = flow.values[instruction.results[k]];
        require_finite_result(instruction.label_of(k), value.type.dtype, value.type.shape, plan.extents,
                              value.block, bases[step.result_storages[k]]);
      }
    if (check_facts)
      for (std::size_t k = 0; k < instruction.results.size(); ++k) {
        const Value& value = flow.values[instruction.results[k]];
        require_interval(instruction.label_of(k), value.interval, value.type.dtype, value.type.shape,
                         plan.extents, value.block, bases[step.result_storages[k]]);
      }
    if (poison) {
      std::memset(scratch.data(), poison_byte, scratch.size());
      for (const StorageId dead : step.dies) std::memset(bases[dead], poison_byte, plan.bytes[dead]);
    }
  }
}

void Program::Data::fail_operand(const Instruction& instruction, const NonFiniteOperand& found,
                                 const Extents& extents) const {
  const Value& value = flow.values[instruction.operands[found.operand]];
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
    if (const Value& value = flow.values[output]; value.source == Source::instruction) {
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

Program Program::compile(std::span<const Expr> outputs, const CompileOptions& options) {
  std::unique_lock<std::recursive_mutex> building;
  if (!outputs.empty()) building = store_of(outputs[0].graph())->building();
  if (options.precision == Precision::automatic) return compiled_as_measured(outputs, options);
  const DenormalsAreZero flush(options.flush_denormals);
  auto data = std::make_shared<Data>();
  data->flush_denormals = options.flush_denormals;
  data->little_on_one_thread = options.little_on_one_thread;
  data->check_outputs = options.check_finite && options.check_outputs;
  for (const Expr output : outputs) data->output_types.push_back(output.type());
  const Kernels& kernels = options.kernels ? *options.kernels : Kernels::best();
  const auto has_kernel = [&](const OpSchema& op) { return kernels.find(op.name) != nullptr; };
  Simplified simple{written_out(outputs, has_kernel), {}, {}};
  if (options.simplify) simple = simplify(simple.outputs, options.rounding);
  if (Staged::needed(simple.outputs)) {
    CompileOptions inner = options;
    inner.simplify = false;
    // Within a stage it is not seen what others do with its results, and what is known of what it is given.
    if (options.precision == Precision::fast && !FastContractions(simple.outputs, kernels).everywhere())
      inner.precision = Precision::exact;
    inner.check_outputs = false;  // what one stage hands to the next may still be masked
    data->staged = std::make_shared<const Staged>(simple.outputs, inner);
    return Program(std::move(data));
  }
  data->flow = flow_of(simple.outputs, options, simple.renewed);
  data->store = store_of(simple.outputs[0].graph());
  if (options.blocked_layouts) data->flow = with_layouts(std::move(data->flow), *data->store);
  data->flow = with_sweeps(std::move(data->flow), options.streamed_weights);
  if (options.fuse) data->flow = with_fusion(std::move(data->flow), options.check_finite);
  data->fresh = compute_fresh(data->flow.constants_read());
  data->storage = assign_storage(data->flow, options.reuse_memory);
  data->check_finite = options.check_finite;
  data->check_inputs = options.check_finite && options.check_inputs;
  data->reuse_memory = options.reuse_memory;
  data->poison = options.poison || poison_wanted();
  data->check_facts = options.check_facts || facts_check_wanted();
  return Program(std::move(data));
}

const Program::Data& Program::data() const {
  if (data_ == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "[program] it was moved from and holds nothing to run; run the program it was moved to, or "
                "copy instead of "
                "moving: copies share everything");
  return *data_;
}

namespace {

void check_count(std::size_t outputs, std::span<const OutputBuffer> buffers) {
  if (buffers.size() != outputs)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[program] {} buffers were given for {} outputs", buffers.size(), outputs));
}

void check_buffer(std::size_t position, DType dtype, const Dims& dims, const OutputBuffer& buffer) {
  const std::string what = fmt::format(
      "[program] output {} is {}{}, {} elements, but its buffer holds {} of {}", position, name_of(dtype),
      to_string(std::span(dims)), element_count(dims), buffer.count, name_of(buffer.dtype));
  if (buffer.dtype != dtype) throw Error(ErrorCode::dtype, what);
  if (buffer.count != element_count(dims)) throw Error(ErrorCode::shape, what);
  if (buffer.data == nullptr && buffer.count != 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[program] the buffer for output {} has no memory behind it", position));
}

/// What a program with sample loops computed, in the caller's memory where there is some.
std::vector<Tensor> copied_into(const std::span<const OutputBuffer>* buffers, std::vector<Tensor> results) {
  if (buffers == nullptr) return results;
  check_count(results.size(), *buffers);
  for (std::size_t i = 0; i < results.size(); ++i)
    check_buffer(i, results[i].dtype(), results[i].dims(), (*buffers)[i]);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (results[i].bytes() != 0) std::memcpy((*buffers)[i].data, results[i].data(), results[i].bytes());
  return {};
}

}  // namespace

std::vector<Tensor> Program::run(const Inputs& inputs, const RunOptions& options) const {
  return run(inputs, nullptr, options);
}

void Program::run_into(const Inputs& inputs, std::span<const OutputBuffer> results,
                       const RunOptions& options) const {
  (void)run(inputs, &results, options);
}

std::vector<Tensor> Program::run(const Inputs& inputs, const std::span<const OutputBuffer>* buffers,
                                 const RunOptions& options) const {
  if (options.threads < 0)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[program] {} threads were asked for; 0 means as many as OpenMP gives", options.threads));
  if (options.threads > most_threads)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[program] {} threads are asked for, and a run may use {}", options.threads,
                            most_threads));
  const ThreadCount allowed(options.threads);
  if (data().staged) {
    const DenormalsAreZero flush(data().flush_denormals);
    std::vector<Tensor> results = data_->staged->run(inputs, options);
    for (std::size_t i = 0; i < results.size(); ++i)
      data_->check_output(i, results[i].dtype(), results[i].dims(), results[i].data());
    return copied_into(buffers, std::move(results));
  }
  const Flow& flow = data_->flow;
  const BoundInputs bound = bind_inputs(flow, inputs, data_->check_inputs);
  if (buffers != nullptr) {
    check_count(flow.outputs.size(), *buffers);
    for (std::size_t i = 0; i < buffers->size(); ++i) {
      const Type& type = flow.values[flow.outputs[i]].type;
      check_buffer(i, type.dtype, type.shape.at(bound.extents), (*buffers)[i]);
    }
  }
  const std::shared_ptr<const Plan> plan = data_->plan(bound.extents);
  const ThreadCount threads(plan->threads);
  const DenormalsAreZero flush(data_->flush_denormals);
  const ArenaPool::Lease arena = data_->arenas.take(plan->arena_bytes);

  const auto dims_of = [&](ValueId value) { return flow.values[value].type.shape.at(bound.extents); };
  std::vector<std::optional<Tensor>> written(flow.outputs.size());
  std::vector<std::byte*> bases(data_->storage.storages.size());
  for (StorageId s = 0; s < bases.size(); ++s) {
    const Storage& storage = data_->storage.storages[s];
    switch (storage.home) {
      case Home::arena:
        bases[s] = arena.data() + plan->offsets[s];
        break;
      // Nothing writes to inputs and constants: they are operands only.
      case Home::input:
        bases[s] = const_cast<std::byte*>(bound.tensors[storage.index]->data());
        break;
      case Home::constant:
        bases[s] = const_cast<std::byte*>(plan->constants[storage.index]);
        break;
      case Home::output:
        if (buffers != nullptr) {
          bases[s] = (*buffers)[storage.index].data;
          break;
        }
        written[storage.index] =
            Tensor::uninitialized(flow.values[storage.value].type.dtype, dims_of(storage.value));
        bases[s] = written[storage.index]->mutable_data();
        break;
    }
  }
  data_->execute(*plan, bases, arena.data(), options);

  std::vector<Tensor> results;
  for (std::size_t i = 0; i < flow.outputs.size(); ++i) {
    const StorageId s = data_->storage.of[flow.outputs[i]];
    const Storage& storage = data_->storage.storages[s];
    if (storage.home == Home::output)
      data_->check_output(i, flow.values[flow.outputs[i]].type.dtype, dims_of(flow.outputs[i]), bases[s]);
    if (buffers != nullptr) {
      // Outputs that are inputs, constants or other outputs were not written where they belong.
      const OutputBuffer& buffer = (*buffers)[i];
      if (buffer.data != bases[s] && buffer.count > 0)
        std::memcpy(buffer.data, bases[s], static_cast<std::size_t>(buffer.count) * size_of(buffer.dtype));
      continue;
    }
    const Tensor memory = storage.home == Home::input      ? *bound.tensors[storage.index]
                          : storage.home == Home::constant ? *flow.constants[storage.index].constant->value()
                                                           : *written[storage.index];
    results.push_back(memory.reshaped(dims_of(flow.outputs[i])));
  }
  return results;
}

void add_bytes(const KeptByAddress& kept, ProgramStats& stats) {
  for (const auto& [address, memory] : kept)
    (memory.is_form ? stats.packed_bytes : stats.folded_bytes) += memory.bytes;
}

std::vector<Type> Program::output_types() const {
  return data().output_types;
}

ProgramStats Program::stats(const Extents& extents) const {
  if (data().staged) return data_->staged->stats(extents);
  const auto plan = data_->plan(extents);
  const Flow& flow = data_->flow;
  ProgramStats stats;
  stats.instructions = flow.instructions.size();
  for (const Instruction& instruction : flow.instructions) {
    if (instruction.kernel->contraction) stats.contractions += instruction.results.size();
    if (instruction.op == "sweep") ++stats.weight_sweeps;
  }
  stats.winograd = static_cast<std::size_t>(
      std::count_if(plan->steps.begin(), plan->steps.end(), [](const PlannedStep& step) {
        return step.prepared && step.prepared->implementation.find("wino") != std::string::npos;
      }));
  stats.fused = flow.fused;
  stats.in_place = data_->storage.in_place;
  KeptByAddress kept;
  data_->add_kept(kept);
  add_bytes(kept, stats);
  for (const auto& constant : flow.constants_read()) {
    if (constant->is_stored() || constant->block() != 0) continue;
    ++stats.folded_constants;
    if (constant->bytes() > large_fold)
      stats.large_folds.push_back(fmt::format("{}: {:.1f} MB", constant->label(),
                                              static_cast<double>(constant->bytes()) / (1 << 20)));
  }
  stats.arena_bytes = plan->arena_bytes;
  stats.unplanned_bytes = plan->unplanned_bytes;
  return stats;
}

std::vector<Tensor> evaluate(std::span<const Expr> outputs, const Inputs& inputs) {
  return Program::compile(outputs).run(inputs);
}

}  // namespace rulegrad
