#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/expr/schema.hpp"
#include "rulegrad/run/program.hpp"

/// How the samples of a run lie in a model's inputs, and how some of them are taken out.
namespace rulegrad {

using DeclaredInputs = std::vector<std::pair<std::string, Type>>;

/// How many samples the inputs hold.
struct SampleBatch {
  std::int64_t samples = 1;
  bool fixed = false;        ///< does the model see a given number of them, and no other?
  std::int64_t at_once = 1;  ///< that number
};

/// Throws Error(shape) for inputs that hold different numbers of samples.
[[nodiscard]] SampleBatch batch_of(const DeclaredInputs& declared, const Inputs& given);

/// One sample without its batch axis gets one; what is the same for all samples has none.
[[nodiscard]] Inputs with_batch_axes(const DeclaredInputs& declared, Inputs given);

/// The inputs of samples [first, first + count), in the same memory.
[[nodiscard]] Inputs samples_of(const DeclaredInputs& declared, const SampleBatch& batch, Inputs given,
                                std::int64_t first, std::int64_t count);

}  // namespace rulegrad
