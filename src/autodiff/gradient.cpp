#include "rulegrad/autodiff/gradient.hpp"

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "autodiff/derivatives.hpp"
#include "autodiff/reverse_walk.hpp"
#include "ops/families.hpp"

namespace rulegrad {

std::vector<Expr> gradient(Expr y, std::span<const Expr> xs, Expr seed, const Operators& operators) {
  Derivatives derivatives(y.graph(), operators);
  derivatives.guard(ForwardFacts(std::span(&y, 1), xs));
  if (seed.type() != y.type())
    throw Error(ErrorCode::shape, "[gradient] the seed " + to_string(seed.type()) +
                                      " must have the type of y, " + to_string(y.type()));
  const ForwardFacts facts(std::span(&y, 1), xs);
  const std::pair<Expr, Expr> start{y, seed};
  const auto totals = reverse_walk(
      facts, operators, std::span(&start, 1),
      [&](Expr node, std::size_t slot, Expr cotangent) { return derivatives.close(node, slot, cotangent); });
  std::vector<Expr> result;
  for (const Expr x : xs) {
    const auto found = totals.find(x);
    result.push_back(found != totals.end()
                         ? found->second
                         : y.graph().apply(operators.at("fill"), {},
                                           FillAttributes{0, x.dtype(), x.shape().with_samples(false)}));
  }
  return result;
}

}  // namespace rulegrad
