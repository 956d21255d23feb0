#include <fmt/format.h>

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/op_attributes.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::LeakyReluAttributes, alpha);
BOOST_HANA_ADAPT_STRUCT(rulegrad::EluAttributes, alpha);
BOOST_HANA_ADAPT_STRUCT(rulegrad::SeluAttributes, alpha, gamma);
BOOST_HANA_ADAPT_STRUCT(rulegrad::GeluAttributes, approximate);
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
std::vector<OpSample> activation_samples(std::mt19937_64& random, const std::vector<Attributes>& choices) {
  std::vector<OpSample> samples;
  for (const Attributes& attributes : choices) {
    samples.push_back({{{.dims = {2, 3}, .low = -4, .high = 4, .gap = 0.04}}, attributes});
    samples.push_back({{{.dims = {2, random_extent(random, 1, 4), 4, 2}, .low = -4, .high = 4, .gap = 0.04}}, attributes});
  }
  return samples;
}

OpSchema activation(std::string name, std::string doc, std::vector<Attributes> choices = {Attributes()}) {
  OpSchema s;
  s.infer = infer::floating_same_as_first(name);
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.attributes = &choices.front().type();
  s.classes = {OpClass::activation, OpClass::elementwise};
  s.samples = [choices = std::move(choices)](std::mt19937_64& random) { return activation_samples(random, choices); };
  return s;
}

OpSchema clip() {
  OpSchema s = activation("clip", "min(max(x, low), high); the derivative is 1 strictly between the bounds, 0 elsewhere",
                          {ClipAttributes{-1, 1}, ClipAttributes{0, 3}});
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
  OpSchema s = activation("prelu", "x where x > 0, slope * x elsewhere; slope broadcasts to the shape of x");
  s.operands = {{"x"}, {"slope", Role::parameter}};
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    infer::require("prelu", "x", operands[0], Numbers::floating);
    (void)infer::common_dtype("prelu", operands);
    const auto wide = broadcast(operands[0].shape, operands[1].shape);
    if (!wide || *wide != operands[0].shape)
      infer::fail("prelu", fmt::format("slope {} does not broadcast to x {}: aligned at the last axis, each of its extents "
                                       "must be that of x or 1",
                                       to_string(operands[1]), to_string(operands[0])));
    return operands[0];
  };
  s.samples = fixed_samples({{{{.dims = {2, 3}, .gap = 0.05}, {.dims = {3}, .low = 0.1, .high = 0.9}}, {}},
                             {{{.dims = {2, 3, 4}, .gap = 0.03}, {.dims = {3, 1}}}, {}},
                             {{{.dims = {2, 5}, .gap = 0.05}, {.dims = {}, .low = 0.1, .high = 0.5}}, {}}});
  return s;
}

}  // namespace

std::vector<OpSchema> activation_operators() {
  std::vector<OpSchema> all;
  all.push_back(activation("relu", "max(x, 0); the derivative at 0 is 0"));
  all.push_back(activation("leaky_relu", "x where x > 0, alpha * x elsewhere",
                           {LeakyReluAttributes{}, LeakyReluAttributes{0.3}}));
  all.push_back(activation("elu", "x where x > 0, alpha * (exp(x) - 1) elsewhere", {EluAttributes{}, EluAttributes{0.5}}));
  all.push_back(activation("selu", "gamma * elu(x, alpha), with the self-normalising alpha and gamma", {SeluAttributes{}}));
  all.push_back(activation("gelu", "x * Phi(x), Phi the normal distribution function; `tanh` for its usual approximation",
                           {GeluAttributes{}, GeluAttributes{GeluForm::tanh}}));
  all.push_back(activation("silu", "x * sigmoid(x), also called swish"));
  all.push_back(activation("sigmoid", "1 / (1 + exp(-x))"));
  all.push_back(activation("tanh", "hyperbolic tangent"));
  all.push_back(activation("softplus", "log(1 + exp(x))"));
  all.push_back(activation("hardswish", "x * clip(x / 6 + 1 / 2, 0, 1)"));
  all.push_back(activation("hardsigmoid", "clip(alpha * x + beta, 0, 1)",
                           {HardsigmoidAttributes{}, HardsigmoidAttributes{0.2, 0.5}}));
  all.push_back(clip());
  all.push_back(prelu());
  return all;
}

}  // namespace rulegrad
