#pragma once

#include "compile/flow.hpp"

namespace rulegrad {

/// Joins operations that work element by element over the same extents in the same layout, or row by row
/// (reductions of the innermost axes, and what is computed from their results), to one call (fused_call.hpp),
/// where none of them has to wait for what another makes possible. With `check_finite` such calls also look
/// through the results of contractions that they read whole, while those are in the cache, and the
/// contractions need no pass of their own for it.
[[nodiscard]] Flow with_fusion(Flow flow, bool check_finite);

}  // namespace rulegrad
