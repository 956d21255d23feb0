#include "onnx/steps.hpp"

#include "ops/steps.hpp"
#include "tensor/checked.hpp"

namespace rulegrad::io {
namespace {

Application application(const NodeContext& context) {
  return [&context](std::string_view op_name, std::vector<Expr> operands, Attributes attributes) {
    return context.apply(op_name, std::move(operands), std::move(attributes));
  };
}

}  // namespace

std::vector<Expr> cut_steps(const NodeContext& context, Expr x, std::size_t axis) {
  // Some twice as many operations, of which each takes as much as this many numbers.
  context.spend_list(checked::product(x.shape()[axis].factor, 64));
  return rulegrad::cut_steps(application(context), x, axis);
}

Expr join_steps(const NodeContext& context, const std::vector<Expr>& steps, std::size_t axis) {
  if (steps.empty()) context.fail("there are no steps, so the shape of what they give is unknown");
  return rulegrad::join_steps(application(context), steps, axis);
}

}  // namespace rulegrad::io
