#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "rulegrad/run/program.hpp"

#include "compile/arena.hpp"
#include "compile/flow.hpp"
#include "compile/fused_call.hpp"
#include "compile/plan.hpp"
#include "compile/storage.hpp"

namespace rulegrad {

class StagedProgram;

struct Program::Data {
  /// What every program knows.
  [[nodiscard]] static std::shared_ptr<Data> begun(std::span<const Expr> outputs,
                                                   const CompileOptions& options);
  /// The calls of the flow of `outputs` in layouts, fused, with their places in memory.
  [[nodiscard]] static std::shared_ptr<const Data> of(Flow flow, std::span<const Expr> outputs,
                                                      const CompileOptions& options);

  /// Set: the program holds sample loops, and this is all of it.
  std::shared_ptr<const StagedProgram> staged;
  std::vector<Type> output_types;
  Flow flow;
  StorageMap storage;
  bool check_finite = true, check_inputs = true, check_outputs = true, reuse_memory = true, poison = false,
       check_facts = false, flush_denormals = true, little_on_one_thread = true;

  /// The plan for these extents and the threads of the caller, made when it is first asked for. The last few
  /// are kept.
  [[nodiscard]] std::shared_ptr<const Plan> plan(const Extents& extents) const;
  /// Throws Error(non_finite) for an output that is not finite.
  void check_output(std::size_t position, DType dtype, const Dims& dims, const std::byte* values) const;
  /// What a program with sample loops computes.
  [[nodiscard]] std::vector<Tensor> run_stages(const Inputs& inputs, const RunOptions& options) const;
  /// What one without them does: binds, plans, takes memory and executes; results go to the buffers, or are
  /// returned if there are none.
  [[nodiscard]] std::vector<Tensor> run_flow(const Inputs& inputs,
                                             const std::span<const OutputBuffer>* buffers,
                                             const RunOptions& options) const;
  /// Calls the kernels in order; `bases` are the addresses of the storages.
  void execute(const Plan& plan, std::span<std::byte* const> bases, std::byte* arena,
               const RunOptions& options) const;

  /// Adds the memory of constants that plans made so far read; in all it is that of the program.
  void add_kept(KeptByAddress& all) const;

  std::shared_ptr<ConstantStore> store;
  mutable ArenaPool arenas;

  mutable std::vector<std::shared_ptr<const Tensor>>
      fresh;  ///< constants computed while compiling, until the first plan keeps those that it reads

 private:
  /// Throws Error(non_finite) for the contraction whose result an operand of the instruction is.
  [[noreturn]] void fail_operand(const Instruction& instruction, const NonFiniteOperand& found,
                                 const Extents& extents) const;

  mutable KeptByAddress kept_;
  mutable std::mutex plans_mutex_;
  mutable std::vector<std::shared_ptr<const Plan>> plans_;  // latest last
};

}  // namespace rulegrad
