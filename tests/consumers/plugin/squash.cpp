// A plugin: the operator squash(x) = x / (1 + |x|), with a kernel, a derivative, and an LRP rule.
#include <cmath>

#include <rulegrad/api/plugin.hpp>
#include <rulegrad/expr/define_attributes.hpp>
#include <rulegrad/expr/operator_facts.hpp>
#include <rulegrad/rule/rule_text.hpp>

namespace {

struct SquashAttributes {
  double slope = 1;  ///< squash(x) = x / (slope + |x|)
};

}  // namespace

template <>
const rulegrad::AttrType& rulegrad::attr_type<SquashAttributes>() {
  static const AttrType type = define_attributes<&SquashAttributes::slope>("SquashAttributes", {"slope"});
  return type;
}

namespace {

using namespace rulegrad;

OpSchema squash() {
  OpSchema op;
  op.name = "squash";
  op.doc = "x / (slope + |x|), element by element";
  op.operands = {{.name = "x"}};
  op.attributes = &attr_type<SquashAttributes>();
  op.classes = {OpClass::activation};
  op.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  op.derivatives = parse_rules(
                       "rulegrad 1\nrules d {\n  vjp(y: squash(x), g) => g * y.slope / ((y.slope + abs(x)) "
                       "* (y.slope + abs(x)))\n}\n",
                       "squash.rules")
                       .rule_sets[0]
                       .rules;
  op.interval = intervals::within({-1, 1});
  op.batch = batches::aligned;
  op.decides = decisions::none;
  op.finite = finite::always;
  op.passes = passing::anything;
  op.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {2, 3}, .gap = 0.01}}, SquashAttributes{0.5}}};
  };
  return op;
}

Kernel squash_kernel() {
  Kernel kernel;
  kernel.access = Access::elementwise;
  kernel.run = [](const KernelCall& call) {
    const double slope = call.attributes.as<SquashAttributes>().slope;
    dispatch(call.result.dtype, [&]<class T>(T) {
      if constexpr (std::is_floating_point_v<T>)
        for (std::int64_t i = 0; i < call.result.count(); ++i) {
          const T x = call.operands[0].as<T>()[i];
          call.result.as<T>()[i] = x / (static_cast<T>(slope) + std::abs(x));
        }
    });
  };
  return kernel;
}

}  // namespace

extern "C" {
extern const std::uint32_t rulegrad_plugin_interface;
const std::uint32_t rulegrad_plugin_interface = plugin_interface;

void rulegrad_plugin(Registry& registry) {
  registry.operators.add(squash());
  registry.kernels.set("squash", squash_kernel());
  registry.rules.add_operators(registry.operators);
  registry.rules.add_text(R"(rulegrad 1
rules squash_lrp {
  grad(squash(x), r) => r
}
## Gradient times input below squash, whose relevance passes through it unchanged.
analyzer lrp_through_squash(epsilon = 1e-6) {
  use squash_lrp
  use lrp.epsilon(epsilon) on dense
}
)",
                          "squash.rules");
}
}
