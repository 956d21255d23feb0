#include "ops/membership.hpp"

#include <array>
#include <utility>

#include "rulegrad/ops/op_attributes.hpp"

namespace rulegrad {
namespace {

Membership decided_by(const AttrType* attributes) {
  static const std::array<std::pair<const AttrType*, Membership>, 2> all{{
      {&attr_type<ResizeAttributes>(), resize_membership()},
      {&attr_type<CastAttributes>(), cast_membership()},
  }};
  for (const auto& [type, membership] : all)
    if (type == attributes) return membership;
  return nullptr;
}

}  // namespace

bool belongs(const OpSchema& op, OpClass op_class, const Attributes& attributes) {
  if (!op.is(op_class)) return false;
  const Membership membership = decided_by(op.attributes);
  return membership == nullptr || membership(op_class, attributes);
}

bool always_belongs(const OpSchema& op, OpClass op_class) {
  return op.is(op_class) && decided_by(op.attributes) == nullptr;
}

}  // namespace rulegrad
