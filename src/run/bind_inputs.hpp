#pragma once

#include <vector>

#include "rulegrad/run/program.hpp"

#include "compile/flow.hpp"

namespace rulegrad {

struct BoundInputs {
  std::vector<const Tensor*> tensors;  ///< in the order of Flow::inputs; null: neither needed nor given
  Extents extents;
};

/// Matches what the caller gives with what the program needs; throws Error that names the input and both
/// sides.
[[nodiscard]] BoundInputs bind_inputs(const Flow& flow, const Inputs& given, bool check_finite);

}  // namespace rulegrad
