#pragma once

#include <string>

#include "rewrite/forward_facts.hpp"

namespace rulegrad {

/// The last full feature map on the way from one explained value to the output: a value [B, C, spatial...]
/// behind a convolution, of a spatial extent above 1, which every way to the output passes (so of a block
/// with branches their sum or concatenation, never one of them), which depends on that explained value alone,
/// and of which more is made than a copy (a logit of a detector is no map of features). This is what
/// `last(conv)` means as a node. Throws Error(unknown_name) that asks for a name where there is none, as in a
/// transformer, whose positions go on to attend to each other, or where inputs meet before it; `what` is what
/// the node is for.
[[nodiscard]] Expr last_feature_map(const ForwardFacts& facts, Expr output, Expr explained,
                                    const std::string& what);

}  // namespace rulegrad
