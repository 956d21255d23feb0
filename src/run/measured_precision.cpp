#include "run/measured_precision.hpp"

#include <array>
#include <cmath>
#include <random>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

constexpr Extents two_samples{.batch = 2, .samples = 1};

/// What inputs may look like: cancellation depends on it, and with it what the transforms' errors are
/// divided by.
enum class Draw { normal, positive, sparse, small };
constexpr std::array draws{Draw::normal, Draw::positive, Draw::sparse, Draw::small};

double drawn(Draw how, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  switch (how) {
    case Draw::normal:
      return normal(random);
    case Draw::positive:  // pixels
      return uniform(random);
    case Draw::sparse:  // strokes on a background
      return uniform(random) < 0.8 ? 0 : uniform(random);
    case Draw::small:
      return 0.01 * normal(random);
  }
  return 0;
}

Inputs random_inputs(std::span<const Expr> outputs, Draw how) {
  std::mt19937_64 random(20240611);
  Inputs inputs;
  for (const Expr e : topological_order(outputs)) {
    if (!is_input(e)) continue;
    Tensor value(DType::float64, e.shape().at(two_samples));
    if (is_floating(e.dtype()))
      for (double& element : value.mutable_values<double>()) element = drawn(how, random);
    inputs.emplace(e.attributes<InputAttributes>().name, value.cast(e.dtype()));
  }
  return inputs;
}

bool close(const Tensor& exact, const Tensor& fast) {
  double largest = 0, difference = 0;
  for (std::int64_t i = 0; i < exact.size(); ++i) {
    largest = std::max(largest, std::abs(exact.at(i)));
    // A comparison with NaN must not pass.
    if (!(std::abs(exact.at(i) - fast.at(i)) <= difference)) difference = std::abs(exact.at(i) - fast.at(i));
  }
  return difference <= most_error * largest;
}

}  // namespace

Program compiled_as_measured(std::span<const Expr> outputs, CompileOptions options) {
  options.precision = Precision::fast;
  Program fast = Program::compile(outputs, options);
  options.precision = Precision::exact;
  try {
    Program exact = Program::compile(outputs, options);
    // What the samples did not take is not measured, though a larger batch might.
    const ProgramStats stats = fast.stats(two_samples);
    if (stats.winograd + stats.split == 0) return exact;
    for (const Draw how : draws) {
      const Inputs inputs = random_inputs(outputs, how);
      const std::vector<Tensor> want = exact.run(inputs), got = fast.run(inputs);
      for (std::size_t i = 0; i < want.size(); ++i)
        if (!close(want[i], got[i])) return exact;
    }
    return fast;
  } catch (const Error&) {
    return Program::compile(outputs, options);
  }
}

}  // namespace rulegrad
