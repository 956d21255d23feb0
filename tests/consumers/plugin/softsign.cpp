// A plugin: the operator softsign(x) = x / (1 + |x|), with a kernel, a derivative, and an LRP rule.
#include <cmath>

#include <rulegrad/api/plugin.hpp>
#include <rulegrad/expr/define_attributes.hpp>
#include <rulegrad/expr/operator_facts.hpp>
#include <rulegrad/rule/rule_text.hpp>

namespace {

struct SoftsignAttributes {
  double slope = 1;  ///< softsign(x) = x / (slope + |x|)
};

}  // namespace

template <>
const rulegrad::AttrType& rulegrad::attr_type<SoftsignAttributes>() {
  static const AttrType type = define_attributes<&SoftsignAttributes::slope>("SoftsignAttributes", {"slope"});
  return type;
}

namespace {

using namespace rulegrad;

OpSchema softsign() {
  OpSchema op;
  op.name = "softsign";
  op.doc = "x / (slope + |x|), element by element";
  op.operands = {{.name = "x"}};
  op.attributes = &attr_type<SoftsignAttributes>();
  op.classes = {OpClass::activation};
  op.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  op.derivatives = parse_rules(
                       "rulegrad 1\nrules d {\n  vjp(y: softsign(x), g) => g * y.slope / ((y.slope + abs(x)) "
                       "* (y.slope + abs(x)))\n}\n",
                       "softsign.rules")
                       .rule_sets[0]
                       .rules;
  op.interval = intervals::within({-1, 1});
  op.batch = batches::aligned;
  op.decides = decisions::none;
  op.finite = finite::always;
  op.passes = passing::anything;
  op.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {2, 3}, .gap = 0.01}}, SoftsignAttributes{0.5}}};
  };
  return op;
}

Kernel softsign_kernel() {
  Kernel kernel;
  kernel.access = Access::elementwise;
  kernel.run = [](const KernelCall& call) {
    const double slope = call.attributes.as<SoftsignAttributes>().slope;
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
  registry.operators.add(softsign());
  registry.kernels.set("softsign", softsign_kernel());
  registry.rules.add_operators(registry.operators);
  registry.rules.add_text(R"(rulegrad 1
rules softsign_lrp {
  grad(softsign(x), r) => r
}
## Gradient times input below softsign, whose relevance passes through it unchanged.
analyzer lrp_through_softsign(epsilon = 1e-6) {
  use softsign_lrp
  use lrp.epsilon(epsilon) on dense
}
)",
                          "softsign.rules");
}
}
