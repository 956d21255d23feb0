#include <fmt/format.h>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::BatchNormAttributes, epsilon, axis);
BOOST_HANA_ADAPT_STRUCT(rulegrad::LrnAttributes, size, alpha, beta, bias);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ChannelWindowAttributes, size, reversed);

namespace rulegrad {

template <>
const AttrType& attr_type<BatchNormAttributes>() {
  static const AttrType type = derive_attr_type<BatchNormAttributes>("batch_norm");
  return type;
}
template <>
const AttrType& attr_type<LrnAttributes>() {
  static const AttrType type = derive_attr_type<LrnAttributes>("lrn");
  return type;
}
template <>
const AttrType& attr_type<ChannelWindowAttributes>() {
  static const AttrType type = derive_attr_type<ChannelWindowAttributes>("channel_window");
  return type;
}

namespace {

using namespace dsl::literals;

OpSchema batch_norm_schema() {
  OpSchema s;
  s.name = "batch_norm";
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) {
    return batches::but_along(value, operands, value.attributes<BatchNormAttributes>().axis);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.doc = "scale (x - mean) / sqrt(var + epsilon) + bias, one number of each a channel of `axis`.";
  s.operands = {{"x"},
                {"scale", Role::parameter},
                {"bias", Role::parameter},
                {"mean", Role::parameter},
                {"var", Role::parameter}};
  s.attributes = &attr_type<BatchNormAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto a = attributes.as<BatchNormAttributes>();
    a.axis = static_cast<std::int64_t>(infer::checked_axis("batch_norm", a.axis, operands[0].shape.rank()));
    return Attributes(a);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    (void)infer::common_dtype("batch_norm", operands);
    const Shape& x = operands[0].shape;
    const Dim channels = x[static_cast<std::size_t>(attributes.as<BatchNormAttributes>().axis)];
    const char* const names[] = {"x", "scale", "bias", "mean", "var"};
    for (std::size_t i = 1; i < operands.size(); ++i)
      if (operands[i].shape != Shape{channels})
        infer::fail(
            "batch_norm",
            fmt::format("{} must hold one number for each of the {} channels (dim {} of {}) but is {}",
                        names[i], to_string(channels), attributes.as<BatchNormAttributes>().axis,
                        to_string(x), to_string(operands[i].shape)));
    return operands[0];
  };
  s.examples = [](RandomEngine&) {
    const auto sample = [](Dims x, std::int64_t axis) {
      const Dims each{x[static_cast<std::size_t>(axis)]};
      return OpExample{{{.dims = x},
                        {.dims = each},
                        {.dims = each},
                        {.dims = each},
                        {.dims = each, .low = 0.2, .high = 2}},
                       BatchNormAttributes{1e-3, axis}};
    };
    return std::vector<OpExample>{sample({2, 3, 4, 2}, 1), sample({4, 3}, 1), sample({2, 3, 5}, 2)};
  };
  using namespace dsl;
  using namespace dsl::letters;
  constexpr var<"scale"> scale;
  constexpr var<"bias"> bias;
  constexpr var<"mu"> mu;
  constexpr var<"variance"> variance;
  const auto axis = y["axis"];
  const auto others = op<"axes_but">(x, axis);
  // With n = (x - mean) / sqrt(var + epsilon): y = scale n + bias.
  s.derivatives =
      lower(
          rules("derivatives.batch_norm",
                rewrite(vjp(y = batch_norm(x, scale, _, _, variance), g), wrt(x),
                        g * along(scale / sqrt(variance + y["epsilon"]), axis, x)),
                rewrite(vjp(y = batch_norm(x, scale, _, mu, variance), g), wrt(scale),
                        sum(g * (x - along(mu, axis, x)), "axes"_a = others) / sqrt(variance + y["epsilon"])),
                rewrite(vjp(y = batch_norm(x, _, bias, _, _), g), wrt(bias), sum(g, "axes"_a = others)),
                rewrite(vjp(y = batch_norm(x, scale, _, mu, variance), g), wrt(mu),
                        -sum(g, "axes"_a = others) * scale / sqrt(variance + y["epsilon"])),
                rewrite(vjp(y = batch_norm(x, scale, _, mu, variance), g), wrt(variance),
                        let(t = variance + y["epsilon"]),
                        -0.5 * sum(g * (x - along(mu, axis, x)), "axes"_a = others) * scale / (t * sqrt(t)))))
          .rules;
  return s;
}

OpSchema softmax_schema(bool logarithm) {
  OpSchema s;
  s.name = logarithm ? "log_softmax" : "softmax";
  s.interval = intervals::within(logarithm ? intervals::not_positive : intervals::unit);
  s.batch = [](Expr value, batches::Places operands) {
    return batches::but_along(value, operands, value.attributes<AxisAttributes>().axis);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  // Shares of nothing where there are larger ones without end; a row of nothing but -inf has none.
  s.passes = [logarithm](Expr, passing::Given x, passing::Bounds) {
    using namespace non_finite;
    return static_cast<NonFinite>(((x[0] & (high | nan)) != 0 ? nan : 0) | (logarithm ? x[0] & low : 0));
  };
  s.couples = [](Expr value) {
    return std::optional(std::vector<std::int64_t>{value.attributes<AxisAttributes>().axis});
  };
  s.doc = logarithm ? "x - log(sum(exp(x))) along `axis`." : "exp(x) / sum(exp(x)) along `axis`.";
  s.operands = {{"x"}};
  s.attributes = &attr_type<AxisAttributes>();
  s.normalize = [name = s.name](std::span<const Type> operands, const Attributes& attributes) {
    return Attributes(AxisAttributes{static_cast<std::int64_t>(
        infer::checked_axis(name, attributes.as<AxisAttributes>().axis, operands[0].shape.rank()))});
  };
  s.infer = [name = s.name](std::span<const Type> operands, const Attributes& attributes) {
    const auto axis = static_cast<std::size_t>(attributes.as<AxisAttributes>().axis);
    if (operands[0].shape[axis].batch)
      infer::fail(name, fmt::format("axis {} of {} holds the batch", axis, to_string(operands[0].shape)));
    return infer::floating_same_as_first(name)(operands, attributes);
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {3, 5}}}, AxisAttributes{1}},
                                  {{{.dims = {2, 4, 3}}}, AxisAttributes{1}},
                                  {{{.dims = {2, 4, 3}}}, AxisAttributes{-1}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  const auto axes = list(y["axis"]);
  s.derivatives =
      logarithm
          ? lower(
                rules("derivatives.log_softmax", rewrite(vjp(y = log_softmax(_), g),
                                                         g - exp(y) * sum(g, "axes"_a = axes, "keep"_a = 1))))
                .rules
          : lower(rules("derivatives.softmax",
                        rewrite(vjp(y = softmax(_), g), y * (g - sum(g * y, "axes"_a = axes, "keep"_a = 1)))))
                .rules;
  return s;
}

OpSchema lrn_schema() {
  OpSchema s;
  s.name = "lrn";
  s.interval = intervals::anything;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.doc =
      "x / (bias + alpha / size * sum of x^2 over `size` neighbouring channels)^beta (Krizhevsky et al. "
      "2012, section 3.3; ONNX LRN).";
  s.operands = {{"x"}};
  s.attributes = &attr_type<LrnAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    if (operands[0].shape.rank() < 2)
      infer::fail("lrn",
                  fmt::format("x must be [batch, channels, ...] but is {}", to_string(operands[0].shape)));
    if (attributes.as<LrnAttributes>().size < 1) infer::fail("lrn", "size must be at least 1");
    return infer::floating_same_as_first("lrn")(operands, attributes);
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {2, 6, 2, 2}}}, LrnAttributes{3, 0.5, 0.75, 1}},
                                  {{{.dims = {1, 5, 3}}}, LrnAttributes{4, 0.3, 0.5, 2}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto window = [](auto value, auto reversed) {
    return channel_window_sum(value, "size"_a = y["size"], "reversed"_a = reversed);
  };
  // With t = bias + c window(x^2), c = alpha / size: dx = g t^-beta - 2 beta c x window'(g x t^(-beta - 1)).
  s.derivatives = lower(rules("derivatives.lrn",
                              rewrite(vjp(y = lrn(x), g), let(c = y["alpha"] / y["size"]),
                                      let(t = y["bias"] + c * window(x * x, 0)), let(p = pow(t, -y["beta"])),
                                      g * p - 2 * y["beta"] * c * x * window(g * x * p / t, 1))))
                      .rules;
  return s;
}

OpSchema channel_window_sum_schema() {
  OpSchema s;
  s.name = "channel_window_sum";
  s.interval = intervals::sums_of_first;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.doc =
      "Sums over channels c - (size - 1) / 2 to c + size / 2 of axis 1; `reversed` over c - size / 2 to c + "
      "(size - 1) / 2, its adjoint.";
  s.operands = {{"x"}};
  s.attributes = &attr_type<ChannelWindowAttributes>();
  s.classes = {OpClass::linear};
  s.infer = infer::floating_same_as_first("channel_window_sum");
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {2, 6, 2}}}, ChannelWindowAttributes{3, false}},
                                  {{{.dims = {2, 6, 2}}}, ChannelWindowAttributes{4, false}},
                                  {{{.dims = {2, 5}}}, ChannelWindowAttributes{4, true}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives =
      lower(rules("derivatives.channel_window_sum",
                  rewrite(vjp(y = channel_window_sum(_), g),
                          channel_window_sum(g, "size"_a = y["size"], "reversed"_a = 1 - y["reversed"]))))
          .rules;
  return s;
}

}  // namespace

std::vector<OpSchema> norm_operators() {
  std::vector<OpSchema> all;
  all.push_back(batch_norm_schema());
  all.push_back(softmax_schema(false));
  all.push_back(softmax_schema(true));
  all.push_back(lrn_schema());
  all.push_back(channel_window_sum_schema());
  return all;
}

}  // namespace rulegrad
