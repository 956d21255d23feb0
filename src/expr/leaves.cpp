#include "rulegrad/expr/leaves.hpp"

#include <cmath>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"

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

namespace {

/// Larger constants are weights, whose values no rule asks for: looking would cost a pass over the whole
/// model.
constexpr std::int64_t most_looked_through = 4096;

Interval of_elements(Expr constant, std::span<const Interval>) {
  const Tensor& value = constant.attributes<ConstantAttributes>().value;
  if (value.size() == 0 || value.size() > most_looked_through) return {};
  Interval result{intervals::infinite, -intervals::infinite};
  for (std::int64_t i = 0; i < value.size(); ++i)
    result = intervals::either(result, {value.at(i), value.at(i)});
  return std::isfinite(result.low) && std::isfinite(result.high) ? result : Interval{};
}

}  // namespace

const OpSchema& input_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "input";
    s.doc = "A value that the caller gives: a picture, a table row, token ids.";
    s.attributes = &attr_type<InputAttributes>();
    s.interval = intervals::anything;
    s.batch = batches::declared;
    s.decides = decisions::none;
    s.finite = finite::always;
    s.passes = passing::anything;
    s.without = {"derivative"};
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
    s.interval = of_elements;
    s.batch = batches::declared;
    s.decides = decisions::none;
    s.finite = finite::always;
    s.passes = passing::anything;
    s.without = {"derivative"};
    s.infer = [](std::span<const Type>, const Attributes& attributes) {
      const auto& value = attributes.as<ConstantAttributes>().value;
      return Type{value.dtype(), Shape::of(value.dims())};
    };
    return s;
  }();
  return schema;
}

}  // namespace rulegrad
