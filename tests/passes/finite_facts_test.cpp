// Operators are known by what their schemas say of poles and signs, never by their names. That kernels do what schemas
// say, tests/prove/operator_trials_test.cpp tries.
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/run/program.hpp"

using namespace rulegrad;

namespace {

/// Kernel of a function of one value.
Kernel kernel_of(double (*f)(double)) {
  Kernel kernel;
  kernel.access = Access::elementwise;
  kernel.run = [f](const KernelCall& call) {
    dispatch(call.result.dtype, [&]<class T>(T) {
      for (std::int64_t i = 0; i < call.result.count(); ++i)
        call.result.as<T>()[i] = static_cast<T>(f(static_cast<double>(call.operands[0].as<T>()[i])));
    });
  };
  return kernel;
}

OpSchema activation(const std::string& name, const std::string& derivative) {
  OpSchema op;
  op.name = name;
  op.doc = "a function of one value";
  op.operands = {{"x"}};
  op.classes = {OpClass::activation};
  op.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  op.derivatives =
      parse_rules("rulegrad 1\nrules d {\n  vjp(y: " + name + "(x), g) => " + derivative + "\n}\n", "d.rules")
          .rule_sets[0]
          .rules;
  op.interval = intervals::anything;
  op.batch = batches::aligned;
  op.decides = decisions::none;
  op.finite = finite::always;
  op.passes = passing::anything;
  op.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {2, 3}, .low = 0.5, .high = 2}}, {}}};
  };
  return op;
}

}  // namespace

TEST_CASE("an activation with a pole and one with a sign are known by their schemas alone") {
  Registry registry;
  OpSchema pole = activation("depth", "g / x");  // log(x)
  pole.finite = finite::each({FiniteFor::positive});
  OpSchema sign = activation("growth", "g * y");  // exp(x)
  sign.interval = intervals::within(intervals::positive);
  sign.passes = passing::from_below;
  CHECK(pole.unsaid().empty());
  CHECK(sign.unsaid().empty());
  const OpSchema &depth = registry.operators.add(pole), &growth = registry.operators.add(sign);
  registry.kernels.set("depth", kernel_of([](double x) { return std::log(x); }));
  registry.kernels.set("growth", kernel_of([](double x) { return std::exp(x); }));
  registry.rules.add_operators(registry.operators);

  const auto chosen = [&](const auto& taken) {
    return Sequential({B, 2}, DType::float64)
        .then([&](Expr x) {
          Graph& graph = x.graph();
          const Expr none = graph.scalar(0, DType::float64);
          return graph.apply(op("where"), {graph.apply(op("greater"), {x, none}), taken(x), none});
        })
        .finish();
  };
  const Tensor x({1, 2}, {2.0, 0.0});
  // The derivative at the pole is not a number; nothing comes back from what was not taken.
  const Model with_pole = chosen([&](Expr v) { return v.graph().apply(depth, {v}); });
  const Explanation poles = Explainer(with_pole, "gradient", {.registry = &registry}).run(x);
  CHECK(poles.attribution().at(0) == doctest::Approx(0.5));
  CHECK(poles.attribution().at(1) == 0);
  // Behind what is always positive a logarithm has no pole: the graph is not guarded, and the number is the same.
  const Model behind = chosen([&](Expr v) { return v.graph().apply(depth, {v.graph().apply(growth, {v})}); });
  const Explanation signs = Explainer(behind, "gradient", {.registry = &registry}).run(x);
  CHECK(signs.attribution().at(0) == doctest::Approx(1));
  CHECK(signs.attribution().at(1) == 0);
  // LRP takes them as the activations they are: relevance passes through.
  const Explanation passed = Explainer(Sequential({B, 2}, DType::float64)
                                           .then([&](Expr v) { return v.graph().apply(growth, {v}); })
                                           .dense(Tensor({1, 2}, {1.0, 2.0}))
                                           .finish(),
                                       "lrp.epsilon:epsilon=1e-12", {.registry = &registry})
                                 .run(x);
  const double whole = std::exp(2.0) + 2;
  CHECK(passed.attribution().at(0) == doctest::Approx(std::exp(2.0) / whole));
  CHECK(passed.attribution().at(1) == doctest::Approx(2 / whole));
  // Its sign is a fact to the simplifier.
  Graph graph(DType::float64);
  const Expr v = graph.input("v", {DType::float64, Shape{3}}), y = graph.apply(growth, {v});
  const Expr cut = graph.apply(op("max"), {y, graph.scalar(0)});
  CHECK(simplify(std::span(&cut, 1)).outputs.at(0) == y);
}
