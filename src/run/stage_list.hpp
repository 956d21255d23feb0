#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/ops/samples.hpp"
#include "rulegrad/run/program.hpp"

#include "compile/fast_contractions.hpp"

/// A program with sample loops, cut into stages: programs without loops, and loops whose bodies are such
/// programs. What does not depend on a loop's sample is computed once, by the stage before it.
namespace rulegrad {

/// A value that is handed from one stage to a later one.
using SlotId = std::uint32_t;

/// Slot 0 of every stage list: the batch index, int64 [B].
inline constexpr SlotId batch_slot = 0;

struct StageInput {
  std::string name;  ///< of the program's input
  SlotId slot;
};

/// A program without loops.
struct StraightStage {
  Program program;
  std::vector<StageInput> inputs;
  std::vector<SlotId> results;
};

struct StageList;

/// One loop, and everything that is reduced over it at this point.
struct LoopStage {
  struct Reduction {
    SampleReduction kind;
    SlotId result;
  };
  std::int64_t count = 1;
  std::vector<StageInput> inputs;
  /// The body's results, one for each reduction. A program takes several samples at once, numbered by its
  /// input `sample_input`; a list, whose body holds loops of its own, one at a time, with the inputs' slots
  /// first and the sample's number behind them.
  std::variant<std::shared_ptr<const StageList>, Program> body;
  std::vector<Reduction> reductions;
};
inline constexpr const char* sample_input = "rulegrad.sample";
inline constexpr const char* batch_input = "rulegrad.batch_index";

struct StageList {
  std::size_t slots = 1;
  std::vector<SlotId> given;  ///< where the caller puts the values that were named to `make_stages`
  std::vector<std::variant<StraightStage, LoopStage>> stages;
  std::vector<std::vector<SlotId>> dies;  ///< by stage: what nobody reads after it
  std::vector<SlotId> outputs;
};

/// The stages that compute `outputs` from `given` (inputs of the graph, batch indices; the values of an outer
/// stage). `fixed` are the loops, a bit a depth, whose sample is given. `precisions` are of the whole graph: within a stage it is not seen
/// what others do with its results, and what is known of what it is given.
[[nodiscard]] StageList make_stages(std::span<const Expr> outputs, std::span<const Expr> given,
                                    std::uint32_t fixed, const CompileOptions& options,
                                    const ContractionPrecisions& precisions);

}  // namespace rulegrad
