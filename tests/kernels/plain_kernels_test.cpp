// The kernels of xtensor expressions are what operators say they are, and agree with the faster ones.
#include "rulegrad/kernels/plain_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/prove/operator_trials.hpp"

#include "prove/draw_example.hpp"
#include "prove/operator_case.hpp"

using namespace rulegrad;

namespace {

/// Leaves and what rules replace have no kernel of either kind.
bool has_its_own(const OpSchema& op) {
  return plain_kernels().find(op.name) != Kernels::portable().find(op.name);
}

}  // namespace

TEST_CASE("plain kernels pass the trials that operators of plugins go through") {
  int samples = 0;
  for (const auto& op : Operators::builtin().all()) {
    if (!has_its_own(*op)) continue;
    for (const OperatorTrial& trial : try_operator(*op, plain_kernels())) {
      INFO(op->name, ": ", trial.what, " ", trial.failure);
      CHECK(trial.holds());
      samples += trial.examples;
    }
  }
  CHECK(samples > 500);
}

TEST_CASE("plain and portable kernels agree on every example of every operator") {
  RandomEngine random(5);
  std::set<std::string> compared;
  for (const auto& op : Operators::builtin().all()) {
    if (!has_its_own(*op)) continue;
    compared.insert(op->name);
    for (const OpExample& example : op->examples(random)) {
      const std::vector<Tensor> operands = draw_example(example, random);
      const auto by = [&](const Kernels& kernels) {
        return proving::computed({*op, example, kernels, Operators::builtin(), random}, operands);
      };
      const Tensor plain = by(plain_kernels()), fast = by(Kernels::portable());
      INFO(op->name, " ", to_string(example.attributes));
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
