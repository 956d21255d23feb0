#pragma once

#include "rulegrad/expr/schema.hpp"

/// The three nodes that sample loops are made of. A loop runs an index from 0 to `count` - 1; everything that
/// depends on the index is sampled, and a reduction over the loop ends it. Loops nest: each has a `depth`,
/// and within one expression every depth is one loop. Programs run loops in chunks (program.hpp); operators
/// never see them.
namespace [[gnu::visibility("default")]] rulegrad {

/// sample_index(): the number of the sample, int64, of a loop.
struct SampleIndexAttributes {
  std::int64_t depth = 0, count = 1;
};
/// batch_index(): int64 of `shape` [B]: the position of each entry of the batch in everything that is
/// explained, over all runs (RunOptions::batch_offset).
struct BatchIndexAttributes {
  Shape shape{};
};
/// What becomes of the samples of a loop.
enum class SampleReduction : std::uint8_t { sum, mean, var, max, stack };
/// reduce_samples(x): over the loop at `depth`, in the order of the samples and in float64. `var` divides by
/// the number of samples; `stack` puts them in front, [count, ...].
struct ReduceSamplesAttributes {
  SampleReduction kind = SampleReduction::sum;
  std::int64_t depth = 0, count = 1;
};

template <>
const AttrType& attr_type<SampleIndexAttributes>();
template <>
const AttrType& attr_type<BatchIndexAttributes>();
template <>
const AttrType& attr_type<ReduceSamplesAttributes>();

/// The operator `sample_index`.
[[nodiscard]] const OpSchema& sample_index_schema();
/// The operator `batch_index`.
[[nodiscard]] const OpSchema& batch_index_schema();
/// The operator `reduce_samples`.
[[nodiscard]] const OpSchema& reduce_samples_schema();

/// Loops nest at most so deep.
inline constexpr std::int64_t most_loops = 16;

}  // namespace rulegrad
