#include "rulegrad/op_attributes.hpp"

#include "runtime/kernels/portable/bind.hpp"
#include "runtime/kernels/portable/elementwise.hpp"

namespace rulegrad::kernels {
namespace {

/// A function of one value whose constants stand in attributes of type A.
template <class A, class Describe>
Kernel activation(Describe describe) {
  return elementwise(Access::elementwise, [describe](const KernelCall& call) {
    const std::pair<Unary, UnaryParameters> function = describe(call.attributes.as<A>());
    arithmetic(call.result.dtype, [&]<class T>(T) {
      unary(function.first, function.second, call.result.count(), call.operands[0].as<T>(),
            call.result.as<T>());
    });
  });
}

using Function = std::pair<Unary, UnaryParameters>;

}  // namespace

void bind_activations(Kernels& all) {
  all.set("leaky_relu", activation<LeakyReluAttributes>([](const auto& a) {
            return Function{Unary::leaky_relu, {.alpha = a.alpha}};
          }));
  all.set("elu", activation<EluAttributes>([](const auto& a) {
            return Function{Unary::elu, {.alpha = a.alpha}};
          }));
  all.set("selu", activation<SeluAttributes>([](const auto& a) {
            return Function{Unary::selu, {.alpha = a.alpha, .gamma = a.gamma}};
          }));
  all.set("gelu", activation<GeluAttributes>([](const auto& a) {
            return Function{a.approximate == GeluForm::tanh ? Unary::gelu_tanh : Unary::gelu, {}};
          }));
  all.set("hardsigmoid", activation<HardsigmoidAttributes>([](const auto& a) {
            return Function{Unary::hardsigmoid, {.alpha = a.alpha, .beta = a.beta}};
          }));
  all.set("clip", activation<ClipAttributes>([](const auto& a) {
            return Function{Unary::clip, {.alpha = a.low, .beta = a.high}};
          }));
}

}  // namespace rulegrad::kernels
