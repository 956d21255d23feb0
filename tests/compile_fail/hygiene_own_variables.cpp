// expect: nothing
// Variables that the user declares, beside a using directive and inside the library's own namespace.
#include <cmath>

#include "rulegrad/dsl.hpp"
#include "rulegrad/ops/operators.hpp"

namespace rulegrad {
namespace {

using namespace dsl;

constexpr var<"x"> x;
constexpr var<"y"> y;
constexpr var<"gamma"> gamma;
constexpr var<"r"> r;

constexpr auto set =
    rules("own", rewrite(grad(y = relu(x), r), let(gamma = op<"mine">(x) + 2), vjp(y, gamma* r)));

}  // namespace

RuleSet own_variables() {
  static_cast<void>(op("relu"));
  const double w = std::tanh(0.5);
  const double g = w + std::exp(w);
  return g > 0 ? lower(set) : RuleSet();
}

}  // namespace rulegrad
