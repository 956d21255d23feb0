#pragma once

#include <string>

#include "rulegrad/expr/schema.hpp"

/// The two operators without operands that every graph needs.
namespace [[gnu::visibility("default")]] rulegrad {

/// What an input is: values that a run gives by name.
struct InputAttributes {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;
};
/// What a constant is.
struct ConstantAttributes {
  Tensor value;
};

template <>
const AttrType& attr_type<InputAttributes>();
template <>
const AttrType& attr_type<ConstantAttributes>();

/// The operator `input`, without operands.
[[nodiscard]] const OpSchema& input_schema();
/// The operator `constant`, without operands.
[[nodiscard]] const OpSchema& constant_schema();

}  // namespace rulegrad
