#include <fmt/format.h>

#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::SlotAttributes, slot, dtype, shape);

namespace rulegrad {

template <>
const AttrType& attr_type<SlotAttributes>() {
  static const AttrType type = derive_attr_type<SlotAttributes>("slot");
  return type;
}

namespace {

OpSchema gradient_node(std::string name, std::string doc) {
  OpSchema s;
  s.name = name;
  s.doc = std::move(doc);
  s.operands = {{"y"}, {"g"}};
  s.attributes = &attr_type<SlotAttributes>();
  // What stands for it is not known before a rule closes it.
  s.interval = intervals::anything;
  s.batch = batches::mixing;
  s.decides = decisions::everything;
  s.finite = finite::never;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.infer = [name](std::span<const Type> operands, const Attributes& attributes) {
    const auto& slot = attributes.as<SlotAttributes>();
    if (operands[0].shape != operands[1].shape)
      infer::fail(name, fmt::format("the cotangent {} must have the shape of the node, {}",
                                    to_string(operands[1]), to_string(operands[0])));
    return Type{slot.dtype, slot.shape};
  };
  return s;
}

}  // namespace

const OpSchema& grad_schema() {
  static const OpSchema schema =
      gradient_node("grad", "What the analyzer sends from node y, which received g, to one operand of y.");
  return schema;
}

const OpSchema& vjp_schema() {
  static const OpSchema schema = gradient_node(
      "vjp", "The vector-Jacobian product of one operation: g times the derivative of y by one operand.");
  return schema;
}

}  // namespace rulegrad
