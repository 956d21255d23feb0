#pragma once

#include <span>

#include "rulegrad/run/program.hpp"

namespace rulegrad {

/// The largest share of an output's largest value that `Precision::automatic` lets Winograd's transforms
/// change.
inline constexpr double most_error = 1e-4;

/// Compiled with Precision::fast if that is within `most_error` of Precision::exact on random values for the
/// inputs: two samples each of normal numbers, positive ones, sparse ones and small ones, 0 for whole ones,
/// which are indices mostly. What cannot be run on those is compiled exactly.
[[nodiscard]] Program compiled_as_measured(std::span<const Expr> outputs, CompileOptions options);

}  // namespace rulegrad
