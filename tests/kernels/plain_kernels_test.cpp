// The kernels of xtensor expressions are what operators say they are, and agree with the faster ones.
#include "rulegrad/kernels/plain_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/prove/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "support/samples.hpp"

using namespace rulegrad;

namespace {

const std::set<std::string> leaves{"input",        "constant",    "grad",          "vjp",
                                   "sample_index", "batch_index", "reduce_samples"};

Tensor computed(const Kernels& kernels, const OpSchema& op, const std::vector<Tensor>& operands,
                const Attributes& attributes) {
  Graph graph(DType::float64);
  std::vector<Expr> inputs;
  Inputs values;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    const std::string name = "x" + std::to_string(k);
    inputs.push_back(graph.input(name, {operands[k].dtype(), Shape::of(operands[k].dims())}));
    values[name] = operands[k];
  }
  const Expr result = graph.make(op, inputs, attributes);
  CompileOptions options;
  options.kernels = &kernels;
  options.simplify = false;
  options.check_finite = false;
  options.poison = true;
  return Program::compile(std::span(&result, 1), options).run(values).at(0);
}

std::vector<Tensor> operands_of(const OpSample& sample, RandomEngine& random) {
  std::vector<Tensor> operands;
  for (const SampleOperand& operand : sample.operands)
    operands.push_back(testing::draw(operand, DType::float64, random));
  return operands;
}

}  // namespace

TEST_CASE("plain kernels pass the trials that operators of plugins go through") {
  int samples = 0;
  for (const auto& op : Operators::builtin().all()) {
    if (leaves.contains(op->name) || plain_kernels().find(op->name) == Kernels::portable().find(op->name))
      continue;
    for (const OperatorTrial& trial : try_operator(*op, plain_kernels())) {
      INFO(op->name, ": ", trial.what, " ", trial.failure);
      CHECK(trial.holds());
      samples += trial.samples;
    }
  }
  CHECK(samples > 500);
}

TEST_CASE("plain and portable kernels agree on every sample of every operator") {
  RandomEngine random(5);
  std::set<std::string> compared;
  for (const auto& op : Operators::builtin().all()) {
    if (leaves.contains(op->name) || plain_kernels().find(op->name) == Kernels::portable().find(op->name))
      continue;
    compared.insert(op->name);
    for (const OpSample& sample : op->samples(random)) {
      const std::vector<Tensor> operands = operands_of(sample, random);
      const Tensor plain = computed(plain_kernels(), *op, operands, sample.attributes),
                   fast = computed(Kernels::portable(), *op, operands, sample.attributes);
      INFO(op->name, " ", to_string(sample.attributes));
      REQUIRE(plain.dims() == fast.dims());
      double off = 0;
      for (std::int64_t i = 0; i < plain.size(); ++i)
        off = std::max(off, std::abs(plain.at(i) - fast.at(i)) / std::max(1.0, std::abs(fast.at(i))));
      CHECK(off <= (plain.dtype() == DType::float32 ? 2e-5 : 1e-12));
    }
  }
  // All that broadcast, move, reduce and contract.
  CHECK(compared.size() >= 35);
}
