#pragma once

#include "rulegrad/expr/schema.hpp"

/// Which classes the nodes of an operator belong to. An operator lists in its schema those that it can belong
/// to; where its attributes decide (a resize moves numbers when it takes the nearest, and averages when it is
/// linear), the type of these attributes says so here, beside the operator.
namespace rulegrad {

/// Does a node of the operator with these attributes belong to the class?
[[nodiscard]] bool belongs(const OpSchema& op, OpClass op_class, const Attributes& attributes);
/// Does every node of the operator?
[[nodiscard]] bool always_belongs(const OpSchema& op, OpClass op_class);

/// Whether a node with these attributes belongs to a class that its operator lists.
using Membership = bool (*)(OpClass op_class, const Attributes& attributes);
[[nodiscard]] Membership resize_membership();  // indexing.cpp
[[nodiscard]] Membership cast_membership();    // elementwise.cpp

}  // namespace rulegrad
