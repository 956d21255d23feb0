// What a user writes: a translation unit with twenty rules. compile_time.sh measures how long it takes to
// compile.
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr auto gamma_ = param<"gamma">(0.25, at_least(0));
constexpr auto epsilon = param<"epsilon">(1e-6, above(0));

constexpr auto twenty = rules(
    "twenty", gamma_, epsilon, rewrite(grad(relu(x), g), where(x > 0, max(g, 0), 0)),
    rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))),
    rewrite(grad(sigmoid(x), g), vjp(sigmoid(x), min(g, 0))),
    rewrite(grad(y = dense(x), r), x* vjp(y, r / stabilize(y, epsilon))),
    rewrite(grad(y = conv(x, w, b), r), let(p = y(w = w + gamma_ * max(w, 0), b = b + gamma_ * max(b, 0))),
            x* vjp(p, r / stabilize(p, epsilon))),
    rewrite(grad(y = conv_transpose(x), r), vjp(y(w = 1), r / stabilize(y(x = 1, w = 1, b = 0), epsilon))),
    rewrite(grad(y = a + b, r), wrt(a), a*(r / stabilize(y, epsilon))),
    rewrite(grad(y = a - b, r), wrt(a), a*(r / stabilize(y, epsilon))),
    rewrite(grad(y = a - b, r), wrt(b), -b*(r / stabilize(y, epsilon))),
    rewrite(grad(y = avg_pool(x), r), x* vjp(y, r / stabilize(y, epsilon))),
    rewrite(grad(y = mean(x), r), x* vjp(y, r / stabilize(y, epsilon))),
    rewrite(grad(y = sum(x), r), x* vjp(y, r / stabilize(y, epsilon))),
    rewrite(grad(y = max_pool(x), r), vjp(y, r)), rewrite(grad(y = amax(x), r), vjp(y, r)),
    rewrite(grad(y = batch_norm(x), r), x* vjp(y, r / stabilize(y, epsilon))), rewrite(grad(lrn(x), r), r),
    rewrite(grad(softplus(x), r), r), rewrite(grad(elu(x), r), where(x > 0, r, r / 2)),
    rewrite(grad(a* b, r), wrt(a), when(!depends(b)), r),
    rewrite(grad(a / b, r), wrt(a), when(!depends(b)), r));

static_assert(twenty.size == 20);

rulegrad::RuleSet lowered() {
  return lower(twenty);
}
