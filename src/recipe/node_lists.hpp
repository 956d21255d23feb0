#pragma once

#include <string>

#include "rewrite/forward_facts.hpp"

/// How people name nodes of a network.
namespace rulegrad {

/// The node of that name below the output: of several, the last. Throws Error(unknown_name) with the nearest
/// name.
[[nodiscard]] Expr node_named(const ForwardFacts& facts, const std::string& name, const std::string& what);

/// The value that closes the last block of a class: from the last node of it (`conv`) on through
/// normalisations, activations and sums of its own shape, as far as each has one user. This is what
/// `last(conv)` means as a node.
[[nodiscard]] Expr end_of_last(const ForwardFacts& facts, const std::string& op_class,
                               const std::string& what);

}  // namespace rulegrad
