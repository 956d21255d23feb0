#include "rulegrad/leaves.hpp"

#include "expr/derive_attributes.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::InputAttributes, name, dtype, shape);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ConstantAttributes, value);

namespace rulegrad {

template <>
const AttrType& attr_type<InputAttributes>() {
  static const AttrType type = derive_attr_type<InputAttributes>("input");
  return type;
}

template <>
const AttrType& attr_type<ConstantAttributes>() {
  static const AttrType type = derive_attr_type<ConstantAttributes>("constant");
  return type;
}

const OpSchema& input_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "input";
    s.doc = "A value that the caller gives: a picture, a table row, token ids.";
    s.attributes = &attr_type<InputAttributes>();
    s.infer = [](std::span<const Type>, const Attributes& attributes) {
      const auto& input = attributes.as<InputAttributes>();
      return Type{input.dtype, input.shape};
    };
    return s;
  }();
  return schema;
}

const OpSchema& constant_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "constant";
    s.doc = "A stored array: a weight, or a number of a rule.";
    s.attributes = &attr_type<ConstantAttributes>();
    s.infer = [](std::span<const Type>, const Attributes& attributes) {
      const auto& value = attributes.as<ConstantAttributes>().value;
      return Type{value.dtype(), Shape::of(value.dims())};
    };
    return s;
  }();
  return schema;
}

}  // namespace rulegrad
