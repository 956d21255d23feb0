// Where operators make numbers of numbers, what becomes of what is no number, in what they are linear, and which
// elements hang on each other: what schemas say, held against kernels.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <optional>
#include <set>
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

constexpr double infinite = std::numeric_limits<double>::infinity();

/// One operation on inputs, computed as it is written.
class Operation {
 public:
  Operation(const OpSchema& op, const OpExample& example) {
    std::vector<Expr> inputs;
    for (std::size_t k = 0; k < example.operands.size(); ++k)
      inputs.push_back(graph_.input("x" + std::to_string(k),
                                    {example.operands[k].dtype, Shape::of(example.operands[k].dims)}));
    expr = graph_.make(op, inputs, example.attributes);
    program_.emplace(Program::compile(std::span(&expr, 1), {.check_finite = false, .simplify = false}));
  }
  [[nodiscard]] Tensor operator()(const std::vector<Tensor>& operands) const {
    Inputs inputs;
    for (std::size_t k = 0; k < operands.size(); ++k) inputs["x" + std::to_string(k)] = operands[k];
    return program_->run(inputs).at(0);
  }

  Expr expr;

 private:
  Graph graph_{DType::float64};
  std::optional<Program> program_;
};

Tensor draw(RandomEngine& random, const ExampleOperand& operand) {
  std::uniform_real_distribution<double> real(operand.low, operand.high);
  std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                    static_cast<std::int64_t>(std::floor(operand.high)));
  Tensor result(operand.dtype, operand.dims);
  dispatch(operand.dtype, [&]<class T>(T) {
    for (T& value : result.mutable_values<T>())
      value = static_cast<T>(std::is_floating_point_v<T> ? real(random) : static_cast<double>(whole(random)));
  });
  return result;
}

std::vector<Tensor> draw(RandomEngine& random, const OpExample& example) {
  std::vector<Tensor> operands;
  for (const ExampleOperand& operand : example.operands) operands.push_back(draw(random, operand));
  return operands;
}

/// Every operator that kernels compute to numbers with a fraction, on each of its examples.
template <class F>
void for_each_example(F&& f) {
  RandomEngine random(29);
  for (const auto& op : Operators::builtin().all()) {
    if (Kernels::portable().find(op->name) == nullptr) continue;
    INFO("operator ", op->name);
    for (const OpExample& example : op->examples(random)) {
      INFO("attributes ", to_string(example.attributes));
      const Operation operation(*op, example);
      if (is_floating(operation.expr.dtype())) f(*op, example, operation, random);
    }
  }
}

bool is_data(const OpSchema& op, const OpExample& example, std::size_t k) {
  return example.operands[k].dtype == DType::float64 && op.operand(k).role == Role::data;
}

NonFinite bits_of(const Tensor& values) {
  unsigned bits = 0;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const double v = values.at(i);
    bits |= std::isnan(v)    ? non_finite::nan
            : v == infinite  ? non_finite::high
            : v == -infinite ? non_finite::low
                             : 0U;
  }
  return static_cast<NonFinite>(bits);
}

Interval extremes(const Tensor& values) {
  Interval result{infinite, -infinite};
  for (std::int64_t i = 0; i < values.size(); ++i)
    result = intervals::either(result, {values.at(i), values.at(i)});
  return result;
}

}  // namespace

TEST_CASE("numbers that an operator says it is finite for give numbers") {
  constexpr double tried[] = {0, -0.5, 0.5, 1, -1, 3, -3, 1.5};
  std::set<std::string> poles;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const Operation& operation, RandomEngine& random) {
        for (const double number : tried) {
          std::vector<Tensor> operands = draw(random, example);
          bool said = true;
          for (std::size_t k = 0; k < operands.size(); ++k) {
            if (is_data(op, example, k))
              operands[k] = Tensor::full(DType::float64, operands[k].dims(), number);
            said = said && finite::holds(op.finite_for(operation.expr, k), extremes(operands[k]));
          }
          const bool numbers = bits_of(operation(operands)) == 0;
          INFO("all operands are ", number);
          if (!numbers) poles.insert(op.name);
          if (said) CHECK(numbers);
        }
      });
  for (const char* name : {"log", "sqrt", "reciprocal", "div", "mod", "acos", "atanh", "acosh"}) {
    INFO(name, " was not seen at a pole");
    CHECK(poles.contains(name));
  }
}

TEST_CASE("of what is no number comes what an operator says") {
  std::set<std::string> ended;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const Operation& operation, RandomEngine& random) {
        for (std::size_t k = 0; k < example.operands.size(); ++k) {
          if (!is_data(op, example, k) || element_count(example.operands[k].dims) == 0) continue;
          for (const double strange : {infinite, -infinite, std::nan("")})
            for (const bool everywhere : {false, true}) {
              std::vector<Tensor> operands = draw(random, example);
              std::vector<NonFinite> given(operands.size(), 0);
              std::vector<Interval> bounds;
              bool poles = false;
              for (std::size_t i = 0; i < operands.size(); ++i) {
                bounds.push_back(i == k ? Interval{} : extremes(operands[i]));
                poles = poles || !finite::holds(op.finite_for(operation.expr, i), extremes(operands[i]));
              }
              auto elements = operands[k].mutable_values<double>();
              std::fill_n(elements.begin(), everywhere ? elements.size() : 1, strange);
              given[k] = bits_of(operands[k]);
              const NonFinite said = op.passed_on(operation.expr, given, bounds),
                              found = bits_of(operation(operands));
              // A line of nothing but -inf has no shares.
              const bool shares = op.coupled_axes(operation.expr).has_value() && !op.is(OpClass::elementwise);
              if (poles || (everywhere && shares)) continue;
              INFO("operand ", k, " holds ", strange, everywhere ? " everywhere" : "");
              CHECK((found & ~said) == 0);
              if (found == 0) ended.insert(op.name);
            }
        }
      });
  for (const char* name : {"sigmoid", "softmax", "relu", "clip"}) {
    INFO(name);
    CHECK(ended.contains(name));
  }
}

TEST_CASE("element by element, operators are linear in the operands that they say") {
  int tried = 0;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const Operation& operation, RandomEngine& random) {
        const LinearIn linear = op.linear_in.value_or(LinearIn::nothing);
        if (linear == LinearIn::nothing) return;
        const auto check = [&](const std::set<std::size_t>& in) {
          std::vector<Tensor> a = draw(random, example), b = a, sum = a;
          for (std::size_t k = 0; k < a.size(); ++k) {
            if (!in.contains(k) || a[k].dtype() != DType::float64) continue;
            b[k] = draw(random, example.operands[k]);
            for (std::int64_t i = 0; i < a[k].size(); ++i)
              sum[k].mutable_values<double>()[static_cast<std::size_t>(i)] = 2 * a[k].at(i) - 3 * b[k].at(i);
          }
          if (a[0].dtype() != DType::float64) return;
          const Tensor of_a = operation(a), of_b = operation(b), of_sum = operation(sum);
          for (std::int64_t i = 0; i < of_a.size(); ++i)
            CHECK(of_sum.at(i) == doctest::Approx(2 * of_a.at(i) - 3 * of_b.at(i)).epsilon(1e-12));
          ++tried;
        };
        std::set<std::size_t> all;
        for (std::size_t k = 0; k < example.operands.size(); ++k) {
          all.insert(k);
          if (linear == LinearIn::each || (linear == LinearIn::first && k == 0)) check({k});
        }
        if (linear == LinearIn::all) check(all);
      });
  CHECK(tried > 25);
}

TEST_CASE("an element hangs on those along the axes that an operator says, and on no other") {
  std::set<std::string> along;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const Operation& operation, RandomEngine& random) {
        const auto axes = op.coupled_axes(operation.expr);
        if (!axes || op.is(OpClass::elementwise) || example.operands[0].dtype != DType::float64) return;
        along.insert(op.name);
        std::vector<Tensor> operands = draw(random, example);
        const Tensor before = operation(operands);
        operands[0].mutable_values<double>()[0] += 0.5;
        const Tensor after = operation(operands);
        for (std::int64_t i = 0; i < before.size(); ++i) {
          // On a line with the first element: all other axes stand at 0.
          std::int64_t rest = i;
          bool on_line = true;
          for (std::size_t axis = before.rank(); axis-- > 0; rest /= before.dims()[axis]) {
            const bool coupled =
                std::find(axes->begin(), axes->end(), static_cast<std::int64_t>(axis)) != axes->end();
            on_line = on_line && (coupled || rest % before.dims()[axis] == 0);
          }
          CHECK((before.at(i) != after.at(i)) == on_line);
        }
      });
  CHECK(along == std::set<std::string>{"layer_norm", "log_softmax", "softmax"});
}

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
