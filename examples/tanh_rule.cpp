// A network Dense 30, Dense 3, Dense 1 with tanh between, explained by a rule for tanh: what reaches it
// passes where it is positive. One value is worked out by hand, from the gradient, to see what the rule
// changed.
#include <cstdio>

#include <rulegrad/dsl.hpp>
#include <rulegrad/rulegrad.hpp>

namespace mine {
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;
constexpr auto guided_tanh = rules("guided_tanh", rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))));
}  // namespace mine

int main() {
  using namespace rulegrad;
  const Model model = Sequential({B, 22}, DType::float64).dense(30).tanh().dense(3).tanh().dense(1).finish();

  Registry registry;
  registry.rules.add(lower(mine::guided_tanh));
  registry.rules.add_text("rulegrad 1\nanalyzer guided {\n  use guided_tanh\n  default gradient\n}\n",
                          "guided.rules");

  Tensor x(DType::float64, {1, 22});
  for (std::size_t i = 0; i < 22; ++i)
    x.mutable_values<double>()[i] = (i % 3 == 0 ? -0.1 : 0.1) * static_cast<double>(i);
  const Explanation got = Explainer(model, {"guided", "gradient"}, {.registry = &registry}).run(x);

  std::printf("feature   guided  gradient\n");
  for (std::int64_t i = 0; i < 22; ++i)
    std::printf("%7lld %8.4f  %8.4f\n", static_cast<long long>(i), got.attribution("guided").at(i),
                got.attribution("gradient").at(i));
  return identical(got.attribution("guided"), got.attribution("gradient")) ? 1 : 0;
}
