// What operators say of themselves is put to the test: all that ship pass, and each lie is found for what it
// is.
#include "rulegrad/prove/operator_trials.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <set>

#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/prove/properties.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

/// x^3, element by element, as a program adds it.
struct Cube {
  OpSchema schema;
  Kernel kernel;

  Cube() {
    schema.name = "cube";
    schema.doc = "x * x * x";
    schema.operands = {{.name = "x"}};
    schema.classes = {OpClass::activation};
    schema.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
    derivative("3 * x * x * g");
    schema.interval = intervals::rising([](double x) { return x * x * x; });
    schema.batch = batches::aligned;
    schema.decides = decisions::none;
    schema.finite = finite::always;
    schema.passes = passing::moved;
    schema.fold = [](std::span<const double> x) { return x[0] * x[0] * x[0]; };
    schema.examples = [](RandomEngine&) {
      return std::vector<OpExample>{{{{.dims = {2, 3}}}, {}}, {{{.dims = {4}}}, {}}};
    };
    computes([](std::int64_t i, std::span<const double> x) {
      return x[static_cast<std::size_t>(i)] * x[static_cast<std::size_t>(i)] * x[static_cast<std::size_t>(i)];
    });
  }
  void derivative(const std::string& result) {
    schema.derivatives =
        parse_rules("rulegrad 1\nrules d {\n  vjp(cube(x), g) => " + result + "\n}\n", "cube.rules")
            .rule_sets[0]
            .rules;
  }
  /// Element i of the result from all elements of x; NaN stays unwritten.
  template <class F>
  void computes(F f) {
    kernel.run = [f](const KernelCall& call) {
      dispatch(call.result.dtype, [&]<class T>(T) {
        std::vector<double> x;
        for (std::int64_t i = 0; i < call.operands[0].count(); ++i)
          x.push_back(static_cast<double>(call.operands[0].as<T>()[i]));
        for (std::int64_t i = 0; i < call.result.count(); ++i)
          if (const double value = f(i, std::span<const double>(x)); !std::isnan(value))
            call.result.as<T>()[i] = static_cast<T>(value);
      });
    };
  }
  [[nodiscard]] std::vector<OperatorTrial> tried() const {
    Operators operators = Operators::builtin();
    const OpSchema& added = operators.add(schema);
    Kernels kernels = Kernels::portable();
    kernels.set("cube", kernel);
    return try_operator(added, kernels, operators);
  }
};

std::set<std::string> failing(const std::vector<OperatorTrial>& trials) {
  std::set<std::string> names;
  for (const OperatorTrial& trial : trials)
    if (!trial.holds()) names.insert(trial.what);
  return names;
}
using Failing = std::set<std::string>;

}  // namespace

TEST_CASE("every operator that ships is what it says, by the trials that plugins go through") {
  int derivatives = 0, samples = 0;
  std::map<std::string, int> tried;  // operators by what was tried of them
  for (const auto& op : Operators::builtin().all()) {
    if (Kernels::portable().find(op->name) == nullptr) continue;
    for (const OperatorTrial& trial : try_operator(*op, Kernels::portable())) {
      INFO(op->name, ": ", trial.what, " ", trial.failure);
      // Meant to be 1 where differences are 0, and 0 where they are 1.
      if ((op->name == "round_through" || op->name == "const") && trial.what == "derivative") continue;
      CHECK(trial.holds());
      derivatives += trial.what == "derivative" && trial.examples > 0 ? 1 : 0;
      samples += trial.examples;
      tried[trial.what] += trial.examples > 0 ? 1 : 0;
    }
  }
  CHECK(derivatives > 70);
  CHECK(samples > 1000);
  CHECK(tried["interval"] > 100);
  CHECK(tried["batch"] > 70);
  CHECK(tried["decisions"] > 70);
  CHECK(tried["fold"] >= 18);
  CHECK(tried["finite"] > 60);
  CHECK(tried["passes"] > 60);
  CHECK(tried["linear_in"] > 8);
  CHECK(tried["couples"] >= 3);
}

TEST_CASE("an operator of a program's own passes, example by example") {
  const std::vector<OperatorTrial> trials = Cube().tried();
  CHECK(failing(trials) == Failing{});
  REQUIRE(trials.size() == 12);
  for (const OperatorTrial& trial : trials) {
    INFO(trial.what);
    CHECK(trial.examples == (trial.what == "linear_in" || trial.what == "couples" ? 0 : 2));
  }
}

TEST_CASE("a wrong derivative is found by differences, with operand and numbers") {
  Cube cube;
  cube.derivative("2 * x * x * g");
  const std::vector<OperatorTrial> trials = cube.tried();
  CHECK(failing(trials) == Failing{"derivative"});
  CHECK(trials[2].failure.starts_with("on cube(x [2, 3]): along a random direction of x differences give "));

  Cube narrow;
  narrow.derivative("sum(3 * x * x * g, axes = [0], keepdims = false)");
  CHECK(failing(narrow.tried()) == Failing{"derivative"});
}

TEST_CASE("a kernel that leaves elements, hangs on threads or rounds to float32 is found") {
  Cube hole;
  hole.computes([](std::int64_t i, std::span<const double> x) {
    return i == 2 ? std::nan("") : std::pow(x[static_cast<std::size_t>(i)], 3);
  });
  CHECK(failing(hole.tried()).contains("kernel"));

  // Whatever the memory of the result held before.
  Operators operators = Operators::builtin();
  Kernels kernels = Kernels::portable();
  kernels.set("cube", hole.kernel);
  Graph graph(DType::float64);
  const Expr cube =
      graph.make(operators.add(hole.schema), {graph.input("x", {DType::float64, Shape{4}})}, {});
  std::vector<double> result{1, 8, 27, 64};
  const std::vector<OutputBuffer> buffers{std::span(result)};
  CompileOptions options;
  options.kernels = &kernels;
  options.check_finite = false;
  options.poison = true;
  Program::compile(std::span(&cube, 1), options)
      .run_into({{"x", Tensor({4}, {1.0, 2.0, 3.0, 4.0})}}, buffers);
  CHECK(std::isnan(result[2]));
  CHECK(result[3] == 64);

  Cube coarse;
  coarse.computes([](std::int64_t i, std::span<const double> x) {
    return std::round(std::pow(x[static_cast<std::size_t>(i)], 3) * 1e4) / 1e4;
  });
  CHECK(failing(coarse.tried()).contains("derivative"));
}

TEST_CASE("an interval that is too narrow, a batch that is mixed, a jump and a wrong fold are found") {
  Cube bounded;
  bounded.schema.interval = intervals::within({-1, 1});
  CHECK(failing(bounded.tried()) == Failing{"interval"});

  Cube reversed;
  reversed.schema.classes = {};
  reversed.schema.derivatives = {};
  reversed.computes([](std::int64_t i, std::span<const double> x) {
    return std::pow(x[x.size() - 1 - static_cast<std::size_t>(i)], 3);
  });
  CHECK(failing(reversed.tried()).contains("batch"));

  Cube jumping;
  jumping.schema.interval = {};
  jumping.schema.fold = {};
  jumping.schema.derivatives = {};
  jumping.computes(
      [](std::int64_t i, std::span<const double> x) { return std::floor(x[static_cast<std::size_t>(i)]); });
  CHECK(failing(jumping.tried()) == Failing{"decisions"});

  Cube folding;
  folding.schema.fold = [](std::span<const double> x) { return x[0] * x[0]; };
  CHECK(failing(folding.tried()) == Failing{"fold"});
}

TEST_CASE("poles, infinities, linearity and axes that an operator is silent of are found") {
  Cube pole;
  pole.schema.derivatives = {};
  pole.schema.fold = {};
  pole.schema.interval = intervals::anything;
  pole.schema.decides = decisions::everything;
  pole.schema.passes = passing::anything;
  pole.computes(
      [](std::int64_t i, std::span<const double> x) { return 1 / (x[static_cast<std::size_t>(i)] - 1.5); });
  CHECK(failing(pole.tried()) == Failing{"finite"});
  pole.schema.finite = finite::never;
  CHECK(failing(pole.tried()) == Failing{});

  Cube bounded;
  bounded.schema.passes = passing::from_below;
  CHECK(failing(bounded.tried()) == Failing{"passes"});

  Cube linear;
  linear.schema.linear_in = LinearIn::first;
  CHECK(failing(linear.tried()) == Failing{"linear_in"});

  Cube shifted;
  shifted.schema.classes = {};
  shifted.schema.derivatives = {};
  shifted.schema.batch = batches::mixing;
  shifted.computes([](std::int64_t i, std::span<const double> x) {
    return std::pow(x[static_cast<std::size_t>(i + 1) % x.size()], 3);
  });
  CHECK(failing(shifted.tried()) == Failing{});
  shifted.schema.couples = [](Expr) { return std::vector<std::int64_t>{}; };
  CHECK(failing(shifted.tried()) == Failing{"couples"});
}

TEST_CASE("an operator that is in a class by name only is found") {
  Cube shifted;
  shifted.schema.derivatives = {};
  shifted.schema.batch = batches::mixing;
  shifted.computes([](std::int64_t i, std::span<const double> x) {
    return std::pow(x[static_cast<std::size_t>(i + 1) % x.size()], 3);
  });
  CHECK(failing(shifted.tried()) == Failing{"classes"});

  Cube linear;
  linear.schema.classes = {OpClass::linear};
  CHECK(failing(linear.tried()) == Failing{"classes"});

  Cube routing;
  routing.schema.classes = {OpClass::routing};
  CHECK(failing(routing.tried()) == Failing{"classes"});
}

TEST_CASE("an operator whose inference forgets the batch, or that has no examples, is told") {
  Cube fixed;
  fixed.schema.infer = [](std::span<const Type> operands, const Attributes&) {
    Type type = operands[0];
    if (type.shape.has_batch()) type.shape = Shape{7};
    return type;
  };
  CHECK(failing(fixed.tried()).contains("shapes"));

  Cube silent;
  silent.schema.examples = {};
  CHECK_THROWS_WITH_AS(
      (void)silent.tried(),
      "[cube] it has no examples, so that nothing it says can be tried; set OpSchema::examples", Error);
}

TEST_CASE(
    "methods are tried on the examples of an operator, by what they declare and by whether they explain it") {
  Operators operators = Operators::builtin();
  Cube cube;
  const OpSchema& added = operators.add(cube.schema);
  Kernels kernels = Kernels::portable();
  kernels.set("cube", cube.kernel);
  RuleLibrary library = RuleLibrary::builtin();
  library.add_operators(operators);
  library.add_text(R"(rulegrad 1
rules through { grad(cube(x), r) => r }
rules half { grad(cube(x), r) => r / 2 }
rules broken { grad(cube(x), r) => r / (x - x) }
analyzer passes { use through  use routing  declare conserves }
analyzer loses { use half  use routing  declare conserves }
analyzer breaks { use broken }
)",
                   "cube.rules");
  const auto on = [&](const char* method) {
    return try_properties_on(added, library, method, kernels, operators);
  };
  const auto passing = on("passes"), losing = on("loses"), breaking = on("breaks");
  REQUIRE(passing.size() == 2);
  CHECK(passing[0].property == "explains");
  CHECK(passing[0].networks == 10);  // two examples, five draws
  CHECK((passing[0].holds && passing[1].holds));
  CHECK(losing[0].holds);
  CHECK_FALSE(losing[1].holds);
  CHECK(losing[1].network == "x [2, 3] -> cube(x [2, 3])");
  CHECK_FALSE(breaking[0].holds);

  const auto epsilon = on("lrp.epsilon"), box = on("gradient");
  CHECK(epsilon[0].networks == 10);  // as an activation it is passed through
  CHECK(epsilon[0].holds);
  CHECK(box[0].holds);
  const auto linear_only = try_properties_on(op("quantile"), library, "lrp.epsilon", kernels, operators);
  CHECK(linear_only[0].networks == 0);
  CHECK(linear_only[0].what.find("quantile") != std::string::npos);
}
