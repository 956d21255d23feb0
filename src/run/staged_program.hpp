#pragma once

#include <map>
#include <mutex>

#include "compile/flow.hpp"
#include "run/stage_list.hpp"

namespace rulegrad {

/// A program that holds sample loops or needs to know where its batch stands.
class StagedProgram {
 public:
  [[nodiscard]] static bool needed(std::span<const Expr> outputs);
  StagedProgram(std::span<const Expr> outputs, const CompileOptions& options,
                const ContractionPrecisions& precisions);

  /// A stage: what `Program::compile` does behind the simplifier, with precisions that were found for the whole.
  [[nodiscard]] static Program stage(std::span<const Expr> outputs, const CompileOptions& options,
                                     const ContractionPrecisions& precisions);

  [[nodiscard]] std::vector<Tensor> run(const Inputs& inputs, const RunOptions& options) const;
  [[nodiscard]] ProgramStats stats(const Extents& extents) const;
  [[nodiscard]] std::string print(const Extents& extents) const;

 private:
  [[nodiscard]] std::vector<Tensor> run(const StageList& list, std::vector<Tensor> given, const Tensor& batch,
                                        const RunOptions& options) const;
  void run_loop(const LoopStage& loop, std::vector<Tensor>& values, const Tensor& batch,
                const RunOptions& options) const;
  /// How many samples of a loop run at once.
  [[nodiscard]] std::int64_t chunk_of(const LoopStage& loop, std::int64_t batch) const;
  /// `kept` gets the constants of all stages, which share some.
  void add_stats(const StageList& list, const Extents& extents, ProgramStats& total,
                 KeptByAddress& kept) const;
  void add_text(const StageList& list, const Extents& extents, const std::string& indent,
                std::string& text) const;

  CompileOptions options_;
  Flow inputs_;                            ///< only its inputs: what the caller must give
  std::vector<std::size_t> given_inputs_;  ///< of those, what the stages are given first
  std::vector<Dim> batch_dims_;            ///< and behind them batch indices of these extents
  StageList list_;
  mutable std::mutex chunks_mutex_;
  mutable std::map<std::pair<const LoopStage*, std::int64_t>, std::int64_t> chunks_;
};

}  // namespace rulegrad
