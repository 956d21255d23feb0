// expect: define_attributes takes one name for each member
#include "rulegrad/expr/define_attributes.hpp"

struct Swish {
  double beta = 1;
  double gamma = 1;
};

template <>
const rulegrad::AttrType& rulegrad::attr_type<Swish>() {
  static const AttrType type = define_attributes<&Swish::beta, &Swish::gamma>("Swish", {"beta"});
  return type;
}
