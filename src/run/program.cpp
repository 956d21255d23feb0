#include "rulegrad/run/program.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <omp.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

#include "compile/estimated_work.hpp"
#include "compile/facts_check.hpp"
#include "compile/fast_contractions.hpp"
#include "compile/fold.hpp"
#include "compile/fuse.hpp"
#include "compile/join_sweeps.hpp"
#include "compile/layouts.hpp"
#include "kernels/denormals.hpp"
#include "passes/simplify_knowing.hpp"
#include "run/measured_precision.hpp"
#include "run/program_data.hpp"
#include "run/staged_program.hpp"
#include "run/thread_count.hpp"

namespace rulegrad {
namespace {

constexpr std::size_t kept_plans = 8;
constexpr std::size_t large_fold = std::size_t{64} << 20;

bool poison_wanted() {
  const char* value = std::getenv("RULEGRAD_POISON");
  return value != nullptr && std::string_view(value) == "1";
}

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

Program Program::compile(std::span<const Expr> outputs, const CompileOptions& options) {
  std::unique_lock<std::recursive_mutex> building;
  if (!outputs.empty()) building = store_of(outputs[0].graph())->building();
  if (options.precision == Precision::automatic) return compiled_as_measured(outputs, options);
  const DenormalsAreZero flush(options.flush_denormals);
  const Kernels& kernels = options.kernels ? *options.kernels : Kernels::best();
  const auto has_kernel = [&](const OpSchema& op) { return kernels.find(op.name) != nullptr; };
  Simplified simple{written_out(outputs, has_kernel), {}, {}};
  Intervals intervals;
  if (options.simplify) simple = simplify(simple.outputs, options.rounding, intervals);
  if (!StagedProgram::needed(simple.outputs))
    return Program(Data::of(flow_of(simple.outputs, options, simple.renewed, std::move(intervals)),
                            simple.outputs, options));
  ContractionPrecisions precisions;
  if (options.precision != Precision::exact)
    precisions = FastContractions(simple.outputs, kernels, options).within_parts(options.precision);
  CompileOptions inner = options;
  inner.check_outputs = false;  // what one stage hands to the next may still be masked
  auto data = Data::begun(simple.outputs, options);
  data->staged = std::make_shared<const StagedProgram>(simple.outputs, inner, precisions);
  return Program(std::move(data));
}

std::shared_ptr<Program::Data> Program::Data::begun(std::span<const Expr> outputs,
                                                    const CompileOptions& options) {
  auto data = std::make_shared<Data>();
  data->flush_denormals = options.flush_denormals;
  data->little_on_one_thread = options.little_on_one_thread;
  data->check_outputs = options.check_finite && options.check_outputs;
  for (const Expr output : outputs) data->output_types.push_back(output.type());
  return data;
}

std::shared_ptr<const Program::Data> Program::Data::of(Flow flow, std::span<const Expr> outputs,
                                                       const CompileOptions& options) {
  auto data = begun(outputs, options);
  data->flow = std::move(flow);
  data->store = store_of(outputs[0].graph());
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
  return data;
}

const Program::Data& Program::data() const {
  if (data_ == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "[program] it was moved from and holds nothing to run; run the program it was moved to, or "
                "copy instead of "
                "moving: copies share everything");
  return *data_;
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
  const auto computed_by = [&](std::string_view word) {
    return static_cast<std::size_t>(
        std::count_if(plan->steps.begin(), plan->steps.end(), [&](const PlannedStep& step) {
          return step.prepared && step.prepared->implementation.find(word) != std::string::npos;
        }));
  };
  stats.winograd = computed_by("wino");
  stats.split = computed_by("split:");
  stats.bfloat16 = computed_by("bfloat16:");
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
