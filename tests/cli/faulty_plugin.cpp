// A plugin that is not what it says: the derivative of square lacks its factor 2, its result is not within
// [0, 1], and the method that it brings loses half of the relevance that it declares to conserve.
#include "rulegrad/api/plugin.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/rule/rule_text.hpp"

using namespace rulegrad;

extern "C" {
extern const std::uint32_t rulegrad_plugin_interface;
const std::uint32_t rulegrad_plugin_interface = plugin_interface;

void rulegrad_plugin(Registry& registry) {
  OpSchema square;
  square.name = "square";
  square.doc = "x * x";
  square.operands = {{.name = "x"}};
  square.classes = {OpClass::activation};
  square.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  square.derivatives = parse_rules("rulegrad 1\nrules d {\n  vjp(square(x), g) => x * g\n}\n", "square.rules")
                           .rule_sets[0]
                           .rules;
  square.interval = intervals::within(intervals::unit);
  square.batch = batches::aligned;
  square.examples = [](RandomEngine&) { return std::vector<OpExample>{{{{.dims = {2, 3}}}, {}}}; };
  Kernel kernel;
  kernel.run = [](const KernelCall& call) {
    dispatch(call.result.dtype, [&]<class T>(T) {
      for (std::int64_t i = 0; i < call.result.count(); ++i)
        call.result.as<T>()[i] = static_cast<T>(call.operands[0].as<T>()[i] * call.operands[0].as<T>()[i]);
    });
  };
  registry.operators.add(std::move(square));
  registry.kernels.set("square", std::move(kernel));
  registry.rules.add_operators(registry.operators);
  registry.rules.add_text(R"(rulegrad 1
rules halves {
  grad(square(x), r) => r / 2
}
## Half of it.
analyzer halves {
  use halves
  default gradient
  declare conserves
}
)",
                          "square.rules");
}
}
