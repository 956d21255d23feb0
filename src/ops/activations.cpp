#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <numbers>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/saying.hpp"
#include "ops/with_derivatives.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::LeakyReluAttributes, alpha);
BOOST_HANA_ADAPT_STRUCT(rulegrad::EluAttributes, alpha);
BOOST_HANA_ADAPT_STRUCT(rulegrad::SeluAttributes, alpha, gamma);
BOOST_HANA_ADAPT_STRUCT(rulegrad::GeluAttributes, approximate);
BOOST_HANA_ADAPT_STRUCT(rulegrad::QuickGeluAttributes, alpha);
BOOST_HANA_ADAPT_STRUCT(rulegrad::HardsigmoidAttributes, alpha, beta);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ClipAttributes, low, high);

namespace rulegrad {

template <>
struct enum_words<GeluForm> {
  static constexpr std::array<std::string_view, 2> words{"exact", "tanh"};
};

template <>
const AttrType& attr_type<LeakyReluAttributes>() {
  static const AttrType type = derive_attr_type<LeakyReluAttributes>("leaky_relu");
  return type;
}
template <>
const AttrType& attr_type<EluAttributes>() {
  static const AttrType type = derive_attr_type<EluAttributes>("elu");
  return type;
}
template <>
const AttrType& attr_type<SeluAttributes>() {
  static const AttrType type = derive_attr_type<SeluAttributes>("selu");
  return type;
}
template <>
const AttrType& attr_type<GeluAttributes>() {
  static const AttrType type = derive_attr_type<GeluAttributes>("gelu");
  return type;
}
template <>
const AttrType& attr_type<QuickGeluAttributes>() {
  static const AttrType type = derive_attr_type<QuickGeluAttributes>("quick_gelu");
  return type;
}
template <>
const AttrType& attr_type<HardsigmoidAttributes>() {
  static const AttrType type = derive_attr_type<HardsigmoidAttributes>("hardsigmoid");
  return type;
}
template <>
const AttrType& attr_type<ClipAttributes>() {
  static const AttrType type = derive_attr_type<ClipAttributes>("clip");
  return type;
}

namespace {

using infer::Numbers;

/// Values lie on a grid of step 0.08 from -4 on: 0, whole numbers and the kinks at 2.5 and 3 stay off it.
std::vector<OpExample> activation_examples(RandomEngine& random, const std::vector<Attributes>& choices) {
  std::vector<OpExample> examples;
  for (const Attributes& attributes : choices) {
    examples.push_back({{{.dims = {2, 3}, .low = -4, .high = 4, .gap = 0.04}}, attributes});
    examples.push_back(
        {{{.dims = {2, random_extent(random, 1, 4), 4, 2}, .low = -4, .high = 4, .gap = 0.04}}, attributes});
  }
  return examples;
}

OpSchema activation(std::string name, std::string doc, IntervalOf interval,
                    std::vector<Attributes> choices = {Attributes()}) {
  OpSchema s;
  s.infer = infer::floating_same_as_first(name);
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.attributes = &choices.front().type();
  s.classes = {OpClass::activation, OpClass::elementwise};
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.linear_in = LinearIn::nothing;
  s.without = {"fold"};
  s.examples = [choices = std::move(choices)](RandomEngine& random) {
    return activation_examples(random, choices);
  };
  return s;
}

Interval keeps_sign(Expr leaky, std::span<const Interval> x) {
  return leaky.attributes<LeakyReluAttributes>().alpha >= 0 ? intervals::sums(x[0]) : Interval{};
}

OpSchema clip_operator() {
  OpSchema s = activation(
      "clip", "min(max(x, low), high); the derivative is 1 strictly between the bounds, 0 elsewhere",
      [](Expr value, std::span<const Interval> x) {
        const auto& bounds = value.attributes<ClipAttributes>();
        return intervals::rounded(
            {std::clamp(x[0].low, bounds.low, bounds.high), std::clamp(x[0].high, bounds.low, bounds.high)});
      },
      {ClipAttributes{-1, 1}, ClipAttributes{0, 3}});
  s.passes = passing::bounded;
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& bounds = attributes.as<ClipAttributes>();
    infer::require("clip", "x", operands[0], Numbers::arithmetic);
    if (!(bounds.low <= bounds.high))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[clip] low {} must not be above high {}", bounds.low, bounds.high));
    return operands[0];
  };
  return s;
}

OpSchema prelu() {
  OpSchema s = activation("prelu", "x where x > 0, slope * x elsewhere; slope broadcasts to the shape of x",
                          intervals::anything);
  s.operands = {{"x"}, {"slope", Role::parameter}};
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    infer::require("prelu", "x", operands[0], Numbers::floating);
    (void)infer::common_dtype("prelu", operands);
    const auto wide = broadcast(operands[0].shape, operands[1].shape);
    if (!wide || *wide != operands[0].shape)
      infer::fail(
          "prelu",
          fmt::format("slope {} does not broadcast to x {}: aligned at the last axis, each of its extents "
                      "must be that of x or 1",
                      to_string(operands[1]), to_string(operands[0])));
    return operands[0];
  };
  s.examples = fixed_examples({{{{.dims = {2, 3}, .gap = 0.05}, {.dims = {3}, .low = 0.1, .high = 0.9}}, {}},
                               {{{.dims = {2, 3, 4}, .gap = 0.03}, {.dims = {3, 1}}}, {}},
                               {{{.dims = {2, 5}, .gap = 0.05}, {.dims = {}, .low = 0.1, .high = 0.5}}, {}}});
  return s;
}

}  // namespace

std::vector<OpSchema> activation_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr double half = 0.5, cubic = 0.044715;
  constexpr double root_half = 1 / std::numbers::sqrt2;
  constexpr double normal = root_half * std::numbers::inv_sqrtpi;           // the normal density at 0
  constexpr double slope = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // of the argument of tanh in gelu
  // exp(min(x, 0)): the arm that a `where` does not take stays finite too.
  std::vector<OpSchema> all;
  all.push_back(
      with_derivatives(passing_on(activation("relu", "max(x, 0); the derivative at 0 is 0",
                                             intervals::rising([](double v) { return std::max(v, 0.0); })),
                                  passing::from_below),
                       rewrite(vjp(relu(x), g), where(x > 0, g, 0))));
  all.push_back(with_derivatives(activation("leaky_relu", "x where x > 0, alpha * x elsewhere", keeps_sign,
                                            {LeakyReluAttributes{}, LeakyReluAttributes{0.3}}),
                                 rewrite(vjp(y = leaky_relu(x), g), where(x > 0, g, y["alpha"] * g))));
  all.push_back(
      with_derivatives(activation("elu", "x where x > 0, alpha * (exp(x) - 1) elsewhere", intervals::anything,
                                  {EluAttributes{}, EluAttributes{0.5}}),
                       rewrite(vjp(y = elu(x), g), where(x > 0, g, y["alpha"] * exp(min(x, 0)) * g))));
  all.push_back(with_derivatives(
      activation("selu", "gamma * elu(x, alpha), with the self-normalising alpha and gamma",
                 intervals::anything, {SeluAttributes{}}),
      rewrite(vjp(y = selu(x), g), y["gamma"] * where(x > 0, g, y["alpha"] * exp(min(x, 0)) * g))));
  all.push_back(with_derivatives(
      activation("gelu",
                 "x * Phi(x), Phi the normal distribution function; `tanh` for its usual approximation",
                 intervals::anything, {GeluAttributes{}, GeluAttributes{GeluForm::tanh}}),
      rewrite(vjp(gelu(x, "approximate"_a = "exact"), g),
              g * (half * (1 + erf(root_half * x)) + normal * x * exp(-half * x * x))),
      rewrite(vjp(gelu(x, "approximate"_a = "tanh"), g), let(t = tanh(slope * (x + cubic * x * x * x))),
              g * (half * (1 + t) + half * x * (1 - t * t) * slope * (1 + 3 * cubic * x * x)))));
  all.push_back(with_derivatives(activation("silu", "x * sigmoid(x), also called swish", intervals::anything),
                                 rewrite(vjp(silu(x), g), let(s = sigmoid(x)), g * (s * (1 + x * (1 - s))))));
  all.push_back(with_derivatives(
      activation("quick_gelu", "x * sigmoid(alpha * x), gelu by a sigmoid; also swish with a factor",
                 intervals::anything, {QuickGeluAttributes{}, QuickGeluAttributes{0.5}}),
      rewrite(vjp(y = quick_gelu(x), g), let(a = y["alpha"]), let(s = sigmoid(a * x)),
              g * (s * (1 + a * x * (1 - s))))));
  all.push_back(with_derivatives(
      activation("mish", "x * tanh(log(1 + exp(x)))", intervals::anything),
      rewrite(vjp(mish(x), g), let(t = tanh(softplus(x))), g * (t + x * (1 - t * t) * sigmoid(x)))));
  all.push_back(with_derivatives(activation("softsign", "x / (1 + |x|)", intervals::within({-1, 1})),
                                 rewrite(vjp(softsign(x), g), let(d = 1 + abs(x)), g / (d * d))));
  all.push_back(
      with_derivatives(passing_on(activation("sigmoid", "1 / (1 + exp(-x))", intervals::within({0, 1, true})),
                                  passing::bounded),
                       rewrite(vjp(y = sigmoid(), g), g * (y * (1 - y)))));
  all.push_back(with_derivatives(
      passing_on(activation("tanh", "hyperbolic tangent", intervals::within({-1, 1})), passing::bounded),
      rewrite(vjp(y = tanh(), g), g * (1 - y * y))));
  all.push_back(with_derivatives(
      passing_on(activation("softplus", "log(1 + exp(x))", intervals::within(intervals::positive)),
                 passing::from_below),
      rewrite(vjp(softplus(x), g), g * sigmoid(x))));
  all.push_back(with_derivatives(
      activation("hardswish", "x * clip(x / 6 + 1 / 2, 0, 1)", intervals::anything),
      rewrite(vjp(hardswish(x), g), where(x <= -3, 0, where(x < 3, g * (x / 3 + half), g)))));
  all.push_back(with_derivatives(
      passing_on(activation("hardsigmoid", "clip(alpha * x + beta, 0, 1)", intervals::within(intervals::unit),
                            {HardsigmoidAttributes{}, HardsigmoidAttributes{0.2, 0.5}}),
                 passing::bounded),
      rewrite(vjp(y = hardsigmoid(), g), where(y > 0 && y < 1, y["alpha"] * g, 0))));
  all.push_back(with_derivatives(clip_operator(),
                                 rewrite(vjp(y = clip(x), g), where(x > y["low"] && x < y["high"], g, 0))));
  all.push_back(with_derivatives(
      prelu(), rewrite(vjp(op<"prelu">(x, s), g), wrt(x), where(x > 0, g, s * g)),
      rewrite(vjp(op<"prelu">(x, s), g), wrt(s), sum_to(where(x > 0, 0, x * g), "shape"_a = shape(s)))));
  return all;
}

}  // namespace rulegrad
