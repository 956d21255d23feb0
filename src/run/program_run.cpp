#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "kernels/denormals.hpp"
#include "run/bind_inputs.hpp"
#include "run/program_data.hpp"
#include "run/staged_program.hpp"
#include "run/thread_count.hpp"

namespace rulegrad {
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

/// Throws for buffers that outputs of these extents do not fit into.
void check_buffers(const Flow& flow, const Extents& extents, std::span<const OutputBuffer> buffers) {
  check_count(flow.outputs.size(), buffers);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const Type& type = flow.values[flow.outputs[i]].type;
    check_buffer(i, type.dtype, type.shape.at(extents), buffers[i]);
  }
}

/// Where the values of one run lie: in the arena, where the caller has them, or in new tensors.
class RunMemory {
 public:
  RunMemory(const Flow& flow, const StorageMap& storage, const Plan& plan, const BoundInputs& bound,
            std::byte* arena, const std::span<const OutputBuffer>* buffers)
      : flow_(flow), storage_(storage), bound_(bound), buffers_(buffers), written_(flow.outputs.size()) {
    for (StorageId s = 0; s < storage.storages.size(); ++s) bases_.push_back(address(s, plan, arena));
  }

  /// By storage.
  [[nodiscard]] std::span<std::byte* const> bases() const { return bases_; }
  [[nodiscard]] Dims dims_of(ValueId value) const {
    return flow_.values[value].type.shape.at(bound_.extents);
  }
  [[nodiscard]] const std::byte* output(std::size_t i) const { return bases_[storage_.of[flow_.outputs[i]]]; }
  /// False for outputs that are inputs or constants.
  [[nodiscard]] bool is_computed(std::size_t i) const {
    return storage_.storages[storage_.of[flow_.outputs[i]]].home == Home::output;
  }

  /// Outputs that are inputs, constants or other outputs were not written where they belong.
  void fill_buffers() const {
    for (std::size_t i = 0; i < buffers_->size(); ++i) {
      const OutputBuffer& buffer = (*buffers_)[i];
      if (buffer.data != output(i) && buffer.count > 0)
        std::memcpy(buffer.data, output(i), static_cast<std::size_t>(buffer.count) * size_of(buffer.dtype));
    }
  }
  [[nodiscard]] std::vector<Tensor> tensors() const {
    std::vector<Tensor> results;
    for (const ValueId value : flow_.outputs) {
      const Storage& storage = storage_.storages[storage_.of[value]];
      const Tensor memory = storage.home == Home::input ? *bound_.tensors[storage.index]
                            : storage.home == Home::constant
                                ? *flow_.constants[storage.index].constant->value()
                                : *written_[storage.index];
      results.push_back(memory.reshaped(dims_of(value)));
    }
    return results;
  }

 private:
  std::byte* address(StorageId s, const Plan& plan, std::byte* arena) {
    const Storage& storage = storage_.storages[s];
    switch (storage.home) {
      case Home::arena:
        return arena + plan.offsets[s];
      // Nothing writes to inputs and constants: they are operands only.
      case Home::input:
        return const_cast<std::byte*>(bound_.tensors[storage.index]->data());
      case Home::constant:
        return const_cast<std::byte*>(plan.constants[storage.index]);
      case Home::output:
        break;
    }
    if (buffers_ != nullptr) return (*buffers_)[storage.index].data;
    std::optional<Tensor>& tensor = written_[storage.index];
    tensor = Tensor::uninitialized(flow_.values[storage.value].type.dtype, dims_of(storage.value));
    return tensor->mutable_data();
  }

  const Flow& flow_;
  const StorageMap& storage_;
  const BoundInputs& bound_;
  const std::span<const OutputBuffer>* buffers_;
  std::vector<std::optional<Tensor>> written_;
  std::vector<std::byte*> bases_;
};

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
  require_threads(options.threads);
  const ThreadCount allowed(options.threads);
  return data().staged ? copied_into(buffers, data_->run_stages(inputs, options))
                       : data_->run_flow(inputs, buffers, options);
}

std::vector<Tensor> Program::Data::run_stages(const Inputs& inputs, const RunOptions& options) const {
  const DenormalsAreZero flush(flush_denormals);
  std::vector<Tensor> results = staged->run(inputs, options);
  for (std::size_t i = 0; i < results.size(); ++i)
    check_output(i, results[i].dtype(), results[i].dims(), results[i].data());
  return results;
}

std::vector<Tensor> Program::Data::run_flow(const Inputs& inputs,
                                            const std::span<const OutputBuffer>* buffers,
                                            const RunOptions& options) const {
  const BoundInputs bound = bind_inputs(flow, inputs, check_inputs);
  if (buffers != nullptr) check_buffers(flow, bound.extents, *buffers);
  const std::shared_ptr<const Plan> made = plan(bound.extents);
  const ThreadCount threads(made->threads);
  const DenormalsAreZero flush(flush_denormals);
  const ArenaPool::Lease arena = arenas.take(made->arena_bytes);
  const RunMemory memory(flow, storage, *made, bound, arena.data(), buffers);
  execute(*made, memory.bases(), arena.data(), options);
  for (std::size_t i = 0; i < flow.outputs.size(); ++i)
    if (memory.is_computed(i))
      check_output(i, flow.values[flow.outputs[i]].type.dtype, memory.dims_of(flow.outputs[i]),
                   memory.output(i));
  if (buffers == nullptr) return memory.tensors();
  memory.fill_buffers();
  return {};
}

}  // namespace rulegrad
