#pragma once

#include "expr/node_map.hpp"
#include "rewrite/forward_facts.hpp"

namespace rulegrad {

/// The nodes below a branch of a `where` whose values need not be finite where the other branch is taken, as
/// the root in `where(x > 0, sqrt(x), 0)` or the softmax of a row that is masked as a whole. There the
/// cotangent is 0 and the derivative of such a node is not a number, but their product counts as 0: nothing
/// comes back from what was not taken. Told from what stands in the graph (logarithms, quotients by what may
/// be 0, constants with infinities, ...), so that the nodes of ordinary networks are not among them.
[[nodiscard]] NodeMap<char> guarded_nodes(const ForwardFacts& facts);

}  // namespace rulegrad
