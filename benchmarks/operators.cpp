// Times every operator on its own samples: once each, and 512 of them under a sample axis.
//   operators [NAME...]
// One line a sample: nanoseconds a run of one, nanoseconds a sample when there are many, elements of the
// result.
#include "rulegrad/operators.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "rulegrad/error.hpp"
#include "rulegrad/program.hpp"
#include "rulegrad/random_engine.hpp"

using namespace rulegrad;

namespace {

constexpr std::int64_t many = 512;

Tensor draw(RandomEngine& random, const SampleOperand& operand, std::int64_t samples) {
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

/// Nanoseconds of the quickest of several runs.
double time_of(const OpSchema& op, const OpSample& sample, std::int64_t samples) {
  RandomEngine random(1);
  Graph graph(DType::float64);
  std::vector<Expr> operands;
  Inputs inputs;
  for (const SampleOperand& operand : sample.operands) {
    const std::string name = "x" + std::to_string(operands.size());
    operands.push_back(graph.input(name, {operand.dtype, Shape::of(operand.dims).with_samples(samples > 1)}));
    inputs.emplace(name, draw(random, operand, samples));
  }
  const Expr result = graph.make(op, operands, sample.attributes);
  const Program program = Program::compile(std::span(&result, 1), {.check_finite = false});
  double best = INFINITY;
  const auto started = std::chrono::steady_clock::now();
  for (int run = 0;
       run < 2000 && (run < 5 || std::chrono::steady_clock::now() - started < std::chrono::milliseconds(20));
       ++run) {
    const auto before = std::chrono::steady_clock::now();
    (void)program.run(inputs, {.threads = 1});
    best = std::min(
        best, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const Operators& operators = Operators::builtin();
  std::vector<std::string> names(argv + 1, argv + argc);
  if (names.empty()) names = operators.names();
  std::printf("%-24s %12s %14s\n", "operator", "one, ns", "of 512, ns");
  try {
    for (const std::string& name : names) {
      const OpSchema& op = operators.at(name);
      if (!op.samples || name == "grad" || name == "vjp") continue;
      RandomEngine random(1);
      for (const OpSample& sample : op.samples(random)) {
        if (sample.operands.empty()) continue;
        std::printf("%-24s %12.0f %14.1f\n", name.c_str(), time_of(op, sample, 1),
                    time_of(op, sample, many) / many);
      }
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "operators: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
