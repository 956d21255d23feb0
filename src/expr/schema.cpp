#include "rulegrad/expr/schema.hpp"

#include <algorithm>

namespace rulegrad {

std::string to_string(const Type& type) {
  return std::string(name_of(type.dtype)) + to_string(type.shape);
}

bool OpSchema::is(OpClass op_class) const {
  return std::find(classes.begin(), classes.end(), op_class) != classes.end();
}

bool OpSchema::is(OpClass op_class, const Attributes& node_attributes) const {
  return is(op_class) && (!belongs || belongs(op_class, node_attributes));
}

bool OpSchema::is_always(OpClass op_class) const {
  return is(op_class) && !belongs;
}

std::size_t OpSchema::required_operands() const {
  return static_cast<std::size_t>(std::count_if(operands.begin(), operands.end(),
                                                [](const OperandSpec& spec) { return !spec.optional; }));
}

const OperandSpec& OpSchema::operand(std::size_t position) const {
  return operands[std::min(position, operands.size() - 1)];
}

std::optional<std::size_t> OpSchema::position_of(std::string_view operand_name) const {
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (operands[i].name == operand_name) return i;
  return std::nullopt;
}

}  // namespace rulegrad
