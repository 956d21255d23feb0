#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "compile/flow.hpp"
#include "compile/storage.hpp"

namespace rulegrad {

/// One instruction with the extents of a run filled in. Pointers are missing: storages have bases only in a
/// run.
struct PlannedStep {
  std::vector<ConstView> operands;
  std::vector<MutableView> results;
  std::vector<StorageId> operand_storages, result_storages;
  /// How often the kernel runs, and how far operands and results move between runs: once for each sample,
  /// unless the kernel can take the sample axis for one more axis of its operands.
  std::int64_t repeats = 1;
  std::vector<std::size_t> operand_steps, result_steps;
  std::size_t scratch_offset = 0, scratch_bytes = 0;
  std::optional<PreparedCall> prepared;
  std::vector<StorageId> dies;  ///< arena storages that nobody reads after this

  /// Of operands and results, over all repeats.
  [[nodiscard]] std::size_t bytes() const;
  /// A call over these views; their data pointers are null until a run fills them in.
  [[nodiscard]] KernelCall call(const Attributes& attributes) const {
    return {operands, results.front(), attributes, {}, std::span(results).subspan(1)};
  }
};

/// A program for given extents and so many threads: prepared kernels divide their work when they are made.
struct Plan {
  Extents extents;
  int allowed = 1;  ///< threads that the caller gave; a run of little work takes one
  int threads = 1;
  std::vector<PlannedStep> steps;
  std::vector<std::size_t> offsets;  ///< by storage, of those in the arena
  std::vector<std::size_t> bytes;    ///< by storage
  std::size_t arena_bytes = 0, unplanned_bytes = 0;
  std::deque<Dims> dims;                    ///< what the views in `steps` point at
  std::vector<const std::byte*> constants;  ///< by constant: its elements, null where no step reads them

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
};

struct PlanOptions {
  bool reuse_memory = true;
  KeptByAddress& kept;  ///< gets the memory of constants that the plan reads
};

/// For the extents and the threads that `plan` tells.
void make_plan(const Flow& flow, const StorageMap& storage, const PlanOptions& options, Plan& plan);

}  // namespace rulegrad
