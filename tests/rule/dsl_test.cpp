#include "rulegrad/dsl.hpp"

#include <doctest/doctest.h>
#include <string_view>

#include "rulegrad/rule_text.hpp"

using namespace rulegrad;
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

namespace {

constexpr auto guided_tanh = rules("guided_tanh", rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))));

constexpr auto epsilon = param<"epsilon">(1e-7, above(0));
constexpr auto lrp_epsilon = rules("lrp.epsilon", epsilon,                                                 //
                                   rewrite(grad(y = affine(x), r), x* vjp(y, r / stabilize(y, epsilon))),  //
                                   rewrite(grad(y = a + b, r), wrt(a), a* r / stabilize(y, epsilon)),      //
                                   rewrite(grad(activation(x), r), r));

/// The rules of a text, as the text parser makes them.
RuleSet parsed(std::string_view text) {
  const RuleFile file = parse_rules("rulegrad 1\n" + std::string(text), "text.rules");
  REQUIRE(file.rule_sets.size() == 1);
  return file.rule_sets[0];
}

/// The only rule of a set without a name.
Rule parsed_rule(std::string_view text) {
  const RuleSet set = parsed("rules t {\n" + std::string(text) + "\n}");
  REQUIRE(set.rules.size() == 1);
  return set.rules[0];
}

template <RuleType R>
void check_same(const R& rule, std::string_view text) {
  const Rule lowered = lower(rule);
  INFO(print(lowered));
  CHECK(equal(lowered, parsed_rule(text)));
}

}  // namespace

TEST_CASE("the rule sets of the design are the same in C++ and in text") {
  CHECK(
      equal(lower(guided_tanh), parsed("rules guided_tanh { grad(tanh(x), g) => vjp(tanh(x), max(g, 0)) }")));
  CHECK(equal(lower(lrp_epsilon), parsed(R"(rules lrp.epsilon(epsilon = 1e-7 in (0, inf)) {
      grad(y: affine(x), r)    => x * vjp(y, r / stabilize(y, epsilon))
      grad(y: a + b, r) wrt a  => a * r / stabilize(y, epsilon)
      grad(activation(x), r)   => r
    })")));
}
