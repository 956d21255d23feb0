#include "rulegrad/ops/operators.hpp"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/run/program.hpp"

#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

constexpr std::int64_t many = 512;

Tensor draw(RandomEngine& random, const ExampleOperand& operand, std::int64_t samples) {
  Dims dims = operand.dims;
  if (samples > 1) dims.insert(dims.begin(), samples);
  Tensor result(operand.dtype, dims);
  std::uniform_real_distribution<double> real(operand.low, operand.high);
  dispatch(operand.dtype, [&]<class T>(T) {
    for (T& value : result.mutable_values<T>())
      value = static_cast<T>(std::is_floating_point_v<T> ? real(random) : std::ceil(operand.low));
  });
  return result;
}

void run_operator(benchmark::State& state, const OpSchema& op, const OpExample& example,
                  std::int64_t samples) {
  RandomEngine random(1);
  Graph graph(DType::float64);
  std::vector<Expr> operands;
  Inputs inputs;
  for (const ExampleOperand& operand : example.operands) {
    const std::string name = "x" + std::to_string(operands.size());
    operands.push_back(graph.input(name, {operand.dtype, Shape::of(operand.dims).with_samples(samples > 1)}));
    inputs.emplace(name, draw(random, operand, samples));
  }
  const Expr result = graph.make(op, operands, example.attributes);
  const Program program = Program::compile(std::span(&result, 1), {.check_finite = false});
  for (auto _ : state) benchmark::DoNotOptimize(program.run(inputs, {.threads = 1}));
  state.SetItemsProcessed(state.iterations() * samples);
}

}  // namespace

void add_operators() {
  const Operators& operators = Operators::builtin();
  for (const std::string& name : operators.names()) {
    const OpSchema& op = operators.at(name);
    if (!op.examples || name == "grad" || name == "vjp") continue;
    RandomEngine random(1);
    int number = 0;
    for (const OpExample& example : op.examples(random)) {
      if (example.operands.empty()) continue;
      for (const std::int64_t samples : {std::int64_t{1}, many}) {
        const std::string title =
            "operators/" + name + "/" + std::to_string(number) + "/samples:" + std::to_string(samples);
        benchmark::RegisterBenchmark(title.c_str(), [&op, example, samples](benchmark::State& state) {
          run_operator(state, op, example, samples);
        });
      }
      ++number;
    }
  }
}

}  // namespace rulegrad::benchmarks
