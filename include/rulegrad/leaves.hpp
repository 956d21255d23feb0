#pragma once

#include <string>

#include "rulegrad/schema.hpp"

/// The two operators without operands that every graph needs.
namespace [[gnu::visibility("default")]] rulegrad {

struct InputAttributes {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;
};
struct ConstantAttributes {
  Tensor value;
};

template <>
const AttrType& attr_type<InputAttributes>();
template <>
const AttrType& attr_type<ConstantAttributes>();

[[nodiscard]] const OpSchema& input_schema();
[[nodiscard]] const OpSchema& constant_schema();

}  // namespace rulegrad
