#pragma once

#include "rulegrad/tensor/shape.hpp"

#include "compile/flow.hpp"

namespace rulegrad {

/// Microseconds that a run takes one thread, roughly: bytes that kernels read and write, and multiplications
/// of contractions, at the rates of one core whose caches hold them. It errs by a small factor.
[[nodiscard]] double estimated_microseconds(const Flow& flow, const Extents& extents);

/// Below this, beginning and ending loops on several threads takes as long as they save.
inline constexpr double little_work = 100;

}  // namespace rulegrad
