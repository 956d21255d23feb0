#include "run/staged_program.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

#include "run/bind_inputs.hpp"
#include "run/program_data.hpp"
#include "run/sample_sums.hpp"

namespace rulegrad {
namespace {

/// first, first + 1, ...
Tensor counting(std::int64_t first, std::int64_t count, Dims dims) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return Tensor(std::move(dims), std::span<const std::int64_t>(numbers));
}

Inputs gather(const std::vector<StageInput>& inputs, const std::vector<Tensor>& values) {
  Inputs result;
  for (const StageInput& input : inputs) result.emplace(input.name, values[input.slot]);
  return result;
}

Tensor as_one_sample(const Tensor& value) {
  Dims dims = value.dims();
  dims.insert(dims.begin(), 1);
  return value.reshaped(std::move(dims));
}

}  // namespace

bool StagedProgram::needed(std::span<const Expr> outputs) {
  const std::vector<Expr> order = topological_order(outputs);
  return std::any_of(order.begin(), order.end(), [](Expr e) {
    return e.is("sample_index") || e.is("reduce_samples") || e.is("batch_index");
  });
}

StagedProgram::StagedProgram(std::span<const Expr> outputs, const CompileOptions& options,
                             const ContractionPrecisions& precisions)
    : options_(options) {
  for (const Expr output : outputs)
    if (output.loops() != 0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[program] {} has a value for each sample of a loop; reduce it over the loop",
                              describe(output)));
  const std::vector<Expr> order = topological_order(outputs);
  std::vector<Expr> given;
  for (const Expr input : outputs[0].graph().inputs()) {
    inputs_.inputs.push_back({input.attributes<InputAttributes>().name, input.type()});
    if (std::find(order.begin(), order.end(), input) == order.end()) continue;
    if (input.shape().sampled())
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[program] the input {} brings samples of its own beside sample loops",
                              describe(input)));
    given_inputs_.push_back(inputs_.inputs.size() - 1);
    inputs_.inputs.back().needed = true;
    given.push_back(input);
  }
  for (const Expr e : order) {
    if (!e.is("batch_index")) continue;
    batch_dims_.push_back(e.shape()[0]);
    given.push_back(e);
  }
  list_ = make_stages(outputs, given, 0, options, precisions);
}

Program StagedProgram::stage(std::span<const Expr> outputs, const CompileOptions& options,
                             const ContractionPrecisions& precisions) {
  return Program(Program::Data::of(flow_of(outputs, options, {}, {}, &precisions), outputs, options));
}

std::vector<Tensor> StagedProgram::run(const Inputs& inputs, const RunOptions& options) const {
  const BoundInputs bound = bind_inputs(inputs_, inputs, options_.check_finite && options_.check_inputs);
  std::vector<Tensor> given;
  for (const std::size_t i : given_inputs_) given.push_back(*bound.tensors[i]);
  const auto rows = [&](std::int64_t count) { return counting(options.batch_offset, count, {count}); };
  for (const Dim dim : batch_dims_) given.push_back(rows(dim.at(bound.extents.batch)));
  // The caller has set the number of threads already.
  RunOptions inner = options;
  inner.threads = 0;
  return run(list_, std::move(given), rows(bound.extents.batch), inner);
}

std::vector<Tensor> StagedProgram::run(const StageList& list, std::vector<Tensor> given, const Tensor& batch,
                                       const RunOptions& options) const {
  std::vector<Tensor> values(list.slots);
  values[batch_slot] = batch;
  for (std::size_t i = 0; i < given.size(); ++i) values[list.given[i]] = std::move(given[i]);
  for (std::size_t i = 0; i < list.stages.size(); ++i) {
    if (const auto* straight = std::get_if<StraightStage>(&list.stages[i])) {
      std::vector<Tensor> results = straight->program.run(gather(straight->inputs, values), options);
      for (std::size_t k = 0; k < results.size(); ++k) values[straight->results[k]] = std::move(results[k]);
    } else {
      run_loop(std::get<LoopStage>(list.stages[i]), values, batch, options);
    }
    for (const SlotId slot : list.dies[i]) values[slot] = Tensor();
  }
  std::vector<Tensor> outputs;
  for (const SlotId slot : list.outputs) outputs.push_back(values[slot]);
  return outputs;
}

void StagedProgram::run_loop(const LoopStage& loop, std::vector<Tensor>& values, const Tensor& batch,
                             const RunOptions& options) const {
  std::vector<SampleSums> sums;
  for (const LoopStage::Reduction& reduction : loop.reductions) sums.emplace_back(reduction.kind, loop.count);
  if (const auto* program = std::get_if<Program>(&loop.body)) {
    Inputs inputs = gather(loop.inputs, values);
    const std::int64_t chunk = chunk_of(loop, batch.size());
    for (std::int64_t first = 0; first < loop.count; first += chunk) {
      const std::int64_t count = std::min(chunk, loop.count - first);
      inputs.insert_or_assign(sample_input, counting(first, count, {count}));
      const std::vector<Tensor> results = program->run(inputs, options);
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k].add(results[k]);
    }
  } else {
    const StageList& body = *std::get<std::shared_ptr<const StageList>>(loop.body);
    for (std::int64_t sample = 0; sample < loop.count; ++sample) {
      std::vector<Tensor> given;
      for (const StageInput& input : loop.inputs) given.push_back(values[input.slot]);
      given.push_back(counting(sample, 1, {}));
      const std::vector<Tensor> results = run(body, std::move(given), batch, options);
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k].add(as_one_sample(results[k]));
    }
  }
  for (std::size_t k = 0; k < sums.size(); ++k) values[loop.reductions[k].result] = sums[k].result();
}

std::int64_t StagedProgram::chunk_of(const LoopStage& loop, std::int64_t batch) const {
  if (options_.samples_at_once > 0) return std::min(options_.samples_at_once, loop.count);
  const auto* program = std::get_if<Program>(&loop.body);
  if (program == nullptr) return 1;
  const std::lock_guard lock(chunks_mutex_);
  const auto [entry, fresh] = chunks_.try_emplace({&loop, batch}, 1);
  if (!fresh || loop.count == 1) return entry->second;
  const auto bytes = [&](std::int64_t samples) {
    return static_cast<double>(program->stats({batch, samples}).arena_bytes);
  };
  const double one = bytes(1), each = std::max(bytes(2) - one, 1.0);
  const double fit = (static_cast<double>(options_.memory) - (one - each)) / each;
  const auto most = static_cast<std::int64_t>(std::clamp(fit, 1.0, static_cast<double>(loop.count)));
  // Chunks of about the same size.
  const std::int64_t chunks = (loop.count + most - 1) / most;
  entry->second = (loop.count + chunks - 1) / chunks;
  return entry->second;
}

ProgramStats StagedProgram::stats(const Extents& extents) const {
  ProgramStats total;
  KeptByAddress kept;
  add_stats(list_, extents, total, kept);
  add_bytes(kept, total);
  return total;
}

void StagedProgram::add_stats(const StageList& list, const Extents& extents, ProgramStats& total,
                              KeptByAddress& kept) const {
  const auto add = [&](const Program& program, const Extents& at) {
    const ProgramStats part = program.stats(at);
    total.instructions += part.instructions;
    total.contractions += part.contractions;
    total.weight_sweeps += part.weight_sweeps;
    total.winograd += part.winograd;
    total.split += part.split;
    total.bfloat16 += part.bfloat16;
    total.fused += part.fused;
    total.in_place += part.in_place;
    total.folded_constants += part.folded_constants;
    program.data_->add_kept(kept);
    total.large_folds.insert(total.large_folds.end(), part.large_folds.begin(), part.large_folds.end());
    total.arena_bytes = std::max(total.arena_bytes, part.arena_bytes);
    total.unplanned_bytes += part.unplanned_bytes;
  };
  for (const auto& stage : list.stages) {
    if (const auto* straight = std::get_if<StraightStage>(&stage)) {
      add(straight->program, {extents.batch, 1});
      continue;
    }
    const auto& loop = std::get<LoopStage>(stage);
    const std::int64_t chunk = chunk_of(loop, extents.batch);
    total.samples_at_once.push_back(chunk);
    if (const auto* program = std::get_if<Program>(&loop.body))
      add(*program, {extents.batch, chunk});
    else
      add_stats(*std::get<std::shared_ptr<const StageList>>(loop.body), extents, total, kept);
  }
}

std::string StagedProgram::print(const Extents& extents) const {
  std::string text;
  add_text(list_, extents, "", text);
  return text;
}

void StagedProgram::add_text(const StageList& list, const Extents& extents, const std::string& indent,
                             std::string& text) const {
  const auto add = [&](const std::string& part) {
    for (std::size_t from = 0; from < part.size();) {
      const std::size_t to = std::min(part.find('\n', from), part.size());
      text += indent + part.substr(from, to - from) + "\n";
      from = to + 1;
    }
  };
  for (const auto& stage : list.stages) {
    if (const auto* straight = std::get_if<StraightStage>(&stage)) {
      add(straight->program.print({extents.batch, 1}));
      continue;
    }
    const auto& loop = std::get<LoopStage>(stage);
    const std::int64_t chunk = chunk_of(loop, extents.batch);
    add(fmt::format("loop over {} samples, {} at once, {} reductions", loop.count, chunk,
                    loop.reductions.size()));
    if (const auto* program = std::get_if<Program>(&loop.body))
      add(program->print({extents.batch, chunk}));
    else
      add_text(*std::get<std::shared_ptr<const StageList>>(loop.body), extents, indent + "  ", text);
  }
}

}  // namespace rulegrad
