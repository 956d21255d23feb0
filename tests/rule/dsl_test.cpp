#include "rulegrad/dsl.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string_view>

#include "rulegrad/rule/rule_text.hpp"

using namespace rulegrad;
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

namespace {

constexpr auto guided_tanh = rules("guided_tanh", rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))));

constexpr auto alpha = param<"alpha">(2);
constexpr auto beta = param<"beta">(1);
constexpr auto epsilon = param<"epsilon">(1e-7, above(0));
constexpr auto gamma_ = param<"gamma">(0.25, at_least(0));

constexpr auto lrp_epsilon = rules("lrp.epsilon", epsilon,                                                 //
                                   rewrite(grad(y = affine(x), r), x* vjp(y, r / stabilize(y, epsilon))),  //
                                   rewrite(grad(y = a + b, r), wrt(a), a* r / stabilize(y, epsilon)),      //
                                   rewrite(grad(activation(x), r), r));

constexpr auto lrp_gamma =
    rules("lrp.gamma", gamma_, epsilon,
          rewrite(grad(y = affine(x, w, b), r),
                  let(p = y(w = w + gamma_ * clip_pos(w), b = b + gamma_ * clip_pos(b))),
                  x* vjp(p, r / stabilize(p, epsilon))));

constexpr var<"wp"> wp;
constexpr var<"wn"> wn;
constexpr var<"xp"> xp;
constexpr var<"xn"> xn;
constexpr var<"zp"> zp;
constexpr var<"zn"> zn;
constexpr var<"sp"> sp;
constexpr var<"sn"> sn;

constexpr auto lrp_alpha_beta =
    rules("lrp.alpha_beta", alpha, beta, epsilon,
          rewrite(grad(y = affine(x, w, b), r),
                  let(wp = clip_pos(w), wn = clip_neg(w), xp = clip_pos(x), xn = clip_neg(x),
                      zp = y(x = xp, w = wp, b = clip_pos(b)) + y(x = xn, w = wn, b = 0),
                      zn = y(x = xp, w = wn, b = clip_neg(b)) + y(x = xn, w = wp, b = 0),
                      sp = r / stabilize(zp, epsilon), sn = r / stabilize(zn, epsilon)),
                  alpha*(xp* vjp(y(w = wp), sp) + xn * vjp(y(w = wn), sp)) -
                      beta * (xp * vjp(y(w = wn), sn) + xn * vjp(y(w = wp), sn))));

// The flat table is a constant of the compiler: nothing below runs.
constexpr auto table = lrp_epsilon.table();
static_assert(table.size() == 3 && lrp_epsilon.size == 3);
static_assert(table[0].terms[0].name == "x" && table[0].terms[0].kind == TermKind::variable);
static_assert(table[0].terms[1].name == "affine" && table[0].terms[1].call == CallKind::op_class);
static_assert(table[0].terms[2].kind == TermKind::label && table[0].pattern == 2);
static_assert(table[0].cotangent == "r" && table[0].wrt.empty() && table[1].wrt == "a");
static_assert(table[1].terms[2].name == "add" && table[1].level == RuleLevel::grad);
static_assert(table[2].place.line == table[0].place.line + 2);

/// The rule set of a text, as the text parser makes it.
RuleSet parsed(std::string_view text) {
  const RuleFile file = parse_rules("rulegrad 1\n" + std::string(text), "text.rules");
  REQUIRE(file.rule_sets.size() == 1);
  return file.rule_sets[0];
}

/// Is the rule what the text parser makes of this text?
void check_same(const Rule& rule, std::string_view text) {
  const RuleSet set = parsed("rules t {\n" + std::string(text) + "\n}");
  REQUIRE(set.rules.size() == 1);
  INFO(print(rule));
  INFO(print(set.rules[0]));
  CHECK(equal(rule, set.rules[0]));
}

Term number(double value) {
  Term term;
  term.kind = TermKind::number;
  term.number = value;
  return term;
}

Term named(TermKind kind, std::string name, std::vector<TermId> args = {},
           std::vector<std::pair<std::string, TermId>> keys = {}) {
  Term term;
  term.kind = kind;
  term.name = std::move(name);
  term.args = std::move(args);
  term.named = std::move(keys);
  return term;
}

/// The same pool, entry for entry.
void check_terms(const Terms& actual, const Terms& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(i);
    CHECK(actual[i].kind == expected[i].kind);
    CHECK(actual[i].name == expected[i].name);
    CHECK(actual[i].key == expected[i].key);
    CHECK(actual[i].number == expected[i].number);
    CHECK(actual[i].args == expected[i].args);
    CHECK(actual[i].named == expected[i].named);
  }
}

constexpr auto variable = TermKind::variable;
constexpr auto call = TermKind::call;

}  // namespace

TEST_CASE("a rule is lowered to a pool in which children stand before their parents") {
  const RuleSet set = lower(guided_tanh);
  CHECK(set.name == "guided_tanh");
  REQUIRE(set.rules.size() == 1);
  const Rule& rule = set.rules[0];
  check_terms(rule.terms, {named(variable, "x"), named(call, "tanh", {0}),                        //
                           named(variable, "x"), named(call, "tanh", {2}), named(variable, "g"),  //
                           number(0), named(call, "max", {4, 5}), named(call, "vjp", {3, 6})});
  CHECK(rule.level == RuleLevel::grad);
  CHECK(rule.pattern == 1);
  CHECK(rule.cotangent == "g");
  CHECK(rule.wrt.empty());
  CHECK(rule.guard == no_term);
  CHECK(rule.lets.empty());
  CHECK(rule.result == 7);
}

TEST_CASE("labels, replaced operands, lets, guards and wrt are lowered to the terms of the runtime form") {
  const Rule rule = lower(rewrite(grad(y = affine(x, w), r), wrt(x), when(depends(w) && w > 0),
                                  let(p = y(w = abs(w))), x * vjp(p, r)));
  check_terms(rule.terms, {named(variable, "x"), named(variable, "w"), named(call, "affine", {0, 1}),
                           named(TermKind::label, "y", {2}),  // pattern: 3
                           named(variable, "w"), named(call, "depends", {4}), named(variable, "w"), number(0),
                           named(call, "greater", {6, 7}), named(call, "and", {5, 8}),  // guard: 9
                           named(variable, "w"), named(call, "abs", {10}),
                           named(TermKind::replace, "y", {}, {{"w", 11}}),                    // let p: 12
                           named(variable, "x"), named(variable, "p"), named(variable, "r"),  //
                           named(call, "vjp", {14, 15}), named(call, "mul", {13, 16})});
  CHECK(rule.pattern == 3);
  CHECK(rule.wrt == "x");
  CHECK(rule.guard == 9);
  REQUIRE(rule.lets.size() == 1);
  CHECK(rule.lets[0].name == "p");
  CHECK(rule.lets[0].value == 12);
  CHECK(rule.result == 17);
}

TEST_CASE("attributes, members, spreads, lists, words and worlds are lowered") {
  const Rule rule = lower(
      rewrite(vjp(y = pad(x, "mode"_a = "constant", "value"_a = 0), g),
              op<"crop">(g, "to"_a = shape(x), "axes"_a = list(2, 3), like(y)) * y["value"] + at(x, "base")));
  check_terms(rule.terms,
              {named(variable, "x"), named(TermKind::text, "constant"), number(0),
               named(call, "pad", {0}, {{"mode", 1}, {"value", 2}}), named(TermKind::label, "y", {3}),
               named(variable, "g"), named(variable, "x"), named(call, "shape", {6}), number(2), number(3),
               named(TermKind::list, "", {8, 9}), named(TermKind::spread, "y"),
               named(call, "crop", {5, 11}, {{"to", 7}, {"axes", 10}}), named(variable, "y"),
               named(TermKind::member, "value", {13}), named(call, "mul", {12, 14}), named(variable, "x"),
               named(TermKind::world, "base", {16}), named(call, "add", {15, 17})});
  CHECK(rule.level == RuleLevel::vjp);
}

TEST_CASE("bare operators and classes are names in patterns and guards, and calls elsewhere") {
  const Rule bare = lower(rewrite(grad(y = conv(), r), when(first(affine())), vjp(y, r)));
  CHECK(bare.terms[0].kind == TermKind::variable);
  CHECK(bare.terms[0].name == "conv");
  CHECK(bare.terms[2].kind == TermKind::variable);
  CHECK(bare.terms[2].name == "affine");
  const Rule filled = lower(rewrite(vjp(floor(x), _), fill("value"_a = 0, "shape"_a = shape(x))));
  CHECK(filled.terms.back().kind == TermKind::call);
  CHECK(filled.terms.back().name == "fill");
  CHECK(filled.cotangent == "_");
}

TEST_CASE("the rule sets of the design are the same in C++ and in text") {
  CHECK(
      equal(lower(guided_tanh), parsed("rules guided_tanh { grad(tanh(x), g) => vjp(tanh(x), max(g, 0)) }")));
  CHECK(equal(lower(lrp_epsilon), parsed(R"(rules lrp.epsilon(epsilon = 1e-7 in (0, inf)) {
      grad(y: affine(x), r)    => x * vjp(y, r / stabilize(y, epsilon))
      grad(y: a + b, r) wrt a  => a * r / stabilize(y, epsilon)
      grad(activation(x), r)   => r
    })")));
  CHECK(equal(lower(lrp_gamma),
              parsed(R"(rules lrp.gamma(gamma = 0.25 in [0, inf), epsilon = 1e-7 in (0, inf)) {
      grad(y: affine(x, w, b), r) =>
        let p = y(w = w + gamma * max(w, 0), b = b + gamma * max(b, 0))
        x * vjp(p, r / stabilize(p, epsilon))
    })")));
  CHECK(equal(lower(lrp_alpha_beta),
              parsed(R"(rules lrp.alpha_beta(alpha = 2, beta = 1, epsilon = 1e-7 in (0, inf)) {
      grad(y: affine(x, w, b), r) =>
        let wp = max(w, 0)  let wn = min(w, 0)  let xp = max(x, 0)  let xn = min(x, 0)
        let zp = y(x = xp, w = wp, b = max(b, 0)) + y(x = xn, w = wn, b = 0)
        let zn = y(x = xp, w = wn, b = min(b, 0)) + y(x = xn, w = wp, b = 0)
        let sp = r / stabilize(zp, epsilon)  let sn = r / stabilize(zn, epsilon)
        alpha * (xp * vjp(y(w = wp), sp) + xn * vjp(y(w = wn), sp)) -
        beta  * (xp * vjp(y(w = wn), sn) + xn * vjp(y(w = wp), sn))
    })")));
}

TEST_CASE("every construct of a rule is the same in C++ and in text") {
  check_same(lower(rewrite(grad(relu(x), g), where(x > 0, clip_pos(g), 0))),
             "grad(relu(x), g) => where(x > 0, max(g, 0), 0)");
  check_same(lower(rewrite(grad(softmax(_), _), 0)), "grad(softmax(_), _) => 0");
  check_same(lower(rewrite(grad(y = routing(), r), vjp(y, r))), "grad(y: routing, r) => vjp(y, r)");
  check_same(lower(rewrite(grad(y = concat(ellipsis), r), wrt(v), v * r / y)),
             "grad(y: concat(...), r) wrt v => v * r / y");
  check_same(lower(rewrite(grad(_, r), next(2 * r))), "grad(_, r) => next(2 * r)");
  check_same(lower(rewrite(grad(a * c, r), wrt(a), when(!depends(c)), r)),
             "grad(a * c, r) wrt a when not depends(c) => r");
  check_same(lower(rewrite(grad(y = gelu(x), r), diff(x * constant(y), x, r))),
             "grad(y: gelu(x), r) => diff(x * const(y), x, r)");
  check_same(lower(rewrite(vjp(tanh(relu(x)), g), g / (1 - x) - -x + pow(x, 2))),
             "vjp(tanh(relu(x)), g) => g / (1 - x) - (-x) + x ^ 2");
  check_same(
      lower(rewrite(grad(relu(x), r), when(named(x, "conv*") || !(dim(x, 1) <= 3) || rank(x) != 4), r)),
      "grad(relu(x), r) when name(x, \"conv*\") or not (dim(x, 1) <= 3) or rank(x) != 4 => r");
  check_same(
      lower(rewrite(p = relu(z = conv(x, w)), when(only_use(z)), z(x = max(x, 0), w = -w) + p["axis"])),
      "rewrite p: relu(z: conv(x, w)) when only_use(z) => z(x = max(x, 0), w = -w) + p.axis");
  check_same(lower(rewrite(vjp(y = reshape(x), g), reshape(g, "shape"_a = shape(x), like(y)))),
             "vjp(y: reshape(x), g) => reshape(g, shape = shape(x), ..y)");
  check_same(lower(rewrite(grad(y = affine(x, w), r), wrt(w), vjp(y(x = at(x, "base")), r))),
             "grad(y: affine(x, w), r) wrt w => vjp(y(x = x@base), r)");
}

TEST_CASE("rules remember their name and where they were written") {
  constexpr auto leaf = rules("leaf", rule<"relu">(rewrite(grad(relu(x), r), r)));
  const int line = __LINE__ - 1;
  const RuleSet set = lower(leaf);
  CHECK(set.rules[0].name == "relu");
  CHECK(set.rules[0].where.line == line);
  CHECK(set.rules[0].terms[0].where.line == line);
  CHECK(set.where.line == line);
  CHECK(set.rules[0].where.file.ends_with("dsl_test.cpp"));
}

TEST_CASE("rule sets declare parameters and use other sets") {
  constexpr auto low = param<"low", "tensor">();
  constexpr auto set = rules("box", low, epsilon, rewrite(grad(affine(x), r), (x - low) * r),
                             use<"routing">(), use<"lrp.epsilon">(epsilon), use<"lrp.gamma">(0.5, epsilon));
  CHECK(equal(lower(set), parsed(R"(rules box(low: tensor, epsilon = 1e-7 in (0, inf)) {
      grad(affine(x), r) => (x - low) * r
      use routing
      use lrp.epsilon(epsilon)
      use lrp.gamma(0.5, epsilon)
    })")));
}

TEST_CASE("rule sets can be joined, filtered and overridden by name") {
  constexpr auto base = rules("base", epsilon, rule<"relu">(rewrite(grad(relu(x), r), r)),
                              rule<"dense">(rewrite(grad(dense(x), r), r * epsilon)));
  constexpr auto more = rules("more", epsilon, rule<"tanh">(rewrite(vjp(tanh(x), g), g * epsilon)));

  constexpr auto both = base + more;
  static_assert(both.size == 3 && contains<"tanh">(both) && !contains<"conv">(both));
  CHECK(lower(both).name == "base");
  CHECK(lower(both).parameters.size() == 1);

  constexpr auto spliced = rules("spliced", more, base, rewrite(grad(conv(x), r), r));
  static_assert(spliced.size == 4);
  const RuleSet runtime = lower(spliced);
  CHECK(runtime.rules[0].name == "tanh");
  CHECK(runtime.rules[1].name == "relu");
  CHECK(runtime.rules[3].name.empty());

  constexpr auto analyzers = filter(both, at_level<RuleLevel::grad>);
  static_assert(analyzers.size == 2 && !contains<"tanh">(analyzers));
  constexpr auto without_dense = filter(analyzers, except(has_root<"dense">));
  static_assert(without_dense.size == 1);
  CHECK(lower(without_dense).parameters.empty());
  static_assert(filter(both, has_name<"dense">).size == 1);

  constexpr auto changed = override_by_name(both, rules("c", rule<"relu">(rewrite(grad(relu(x), r), 2 * r))));
  static_assert(changed.size == 3);
  check_same(lower(changed).rules[0], "rule relu: grad(relu(x), r) => 2 * r");
  CHECK(equal(lower(changed).rules[1], lower(both).rules[1]));
}

TEST_CASE("several rules become a list for an operator's derivatives") {
  const std::vector<Rule> list =
      rule_list(rewrite(vjp(a * b, g), wrt(a), g * b), rewrite(vjp(a * b, g), wrt(b), g * a));
  REQUIRE(list.size() == 2);
  check_same(list[0], "vjp(a * b, g) wrt a => g * b");
  check_same(list[1], "vjp(a * b, g) wrt b => g * a");
}

TEST_CASE("numbers of a rule may be computed when the program runs") {
  for (const double factor : {0.5, 2.0}) {
    const Rule rule = lower(rewrite(grad(relu(x), r), factor * r));
    CHECK(rule.terms[2].number == factor);
  }
}

TEST_CASE("operators are functions that leave numbers to the standard library") {
  CHECK(std::isinf(std::numeric_limits<double>::infinity()));
  const double value = 0.5;
  CHECK(::tanh(value) == std::tanh(value));
  CHECK(tanh(value) == std::tanh(value));
  for (const OperatorRow& row : operator_rows) {
    CAPTURE(row.name);
    CHECK(row.min_operands <= row.max_operands);
  }
}
