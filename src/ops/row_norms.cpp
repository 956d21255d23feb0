#include <fmt/format.h>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::LayerNormAttributes, axis, epsilon);
BOOST_HANA_ADAPT_STRUCT(rulegrad::LpNormalizeAttributes, axis, p, epsilon, least);

namespace rulegrad {

template <>
const AttrType& attr_type<LayerNormAttributes>() {
  static const AttrType type = derive_attr_type<LayerNormAttributes>("layer_norm");
  return type;
}
template <>
const AttrType& attr_type<LpNormalizeAttributes>() {
  static const AttrType type = derive_attr_type<LpNormalizeAttributes>("lp_normalize");
  return type;
}

namespace {

using namespace dsl::literals;

/// What norms over the axes from `axis` on share: parameters behind x broadcast to those axes.
OpSchema tail_norm(const std::string& name) {
  OpSchema s;
  s.name = name;
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) {
    const auto first = static_cast<std::size_t>(value.attributes<LayerNormAttributes>().axis);
    return batches::alone(operands) && operands[0]->axis < first ? BatchFlow{false, operands[0]}
                                                                 : batches::mixing(value, operands);
  };
  s.decides = decisions::none;
  // Without an epsilon, what is the same throughout is 0 / 0.
  s.finite = [](Expr value, std::size_t position) {
    return position > 0 || value.attributes<LayerNormAttributes>().epsilon > 0 ? FiniteFor::all
                                                                               : FiniteFor::none;
  };
  s.passes = passing::anything;
  s.couples = [](Expr value) {
    std::vector<std::int64_t> axes;
    for (auto axis = value.attributes<LayerNormAttributes>().axis;
         axis < static_cast<std::int64_t>(value.shape().rank()); ++axis)
      axes.push_back(axis);
    return std::optional(axes);
  };
  s.attributes = &attr_type<LayerNormAttributes>();
  s.normalize = [name](std::span<const Type> operands, const Attributes& attributes) {
    auto a = attributes.as<LayerNormAttributes>();
    a.axis = static_cast<std::int64_t>(infer::checked_axis(name, a.axis, operands[0].shape.rank()));
    return Attributes(a);
  };
  s.infer = [name](std::span<const Type> operands, const Attributes& attributes) {
    (void)infer::common_dtype(name, operands);
    const Shape& x = operands[0].shape;
    const auto first = static_cast<std::ptrdiff_t>(attributes.as<LayerNormAttributes>().axis);
    const Shape tail(std::vector<Dim>(x.dims().begin() + first, x.dims().end()));
    if (tail.has_batch())
      infer::fail(name, fmt::format("the axes of {} from {} on hold the batch", to_string(x), first));
    for (std::size_t i = 1; i < operands.size(); ++i) {
      const auto wide = broadcast(operands[i].shape, tail);
      if (!wide || *wide != tail)
        infer::fail(name, fmt::format("{} must have shape {}, the axes of {} from {} on, but is {}",
                                      i == 1 ? "weight" : "bias", to_string(tail), to_string(x), first,
                                      to_string(operands[i].shape)));
    }
    return operands[0];
  };
  return s;
}

OpSchema layer_norm_schema() {
  OpSchema s = tail_norm("layer_norm");
  s.doc = "w (x - mean) / sqrt(variance + epsilon) + b, mean and variance over the axes from `axis` on.";
  s.operands = {{"x"}, {"w", Role::parameter}, {"b", Role::parameter, true}};
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{
        {{{.dims = {3, 5}}, {.dims = {5}}, {.dims = {5}}}, LayerNormAttributes{-1, 1e-2}},
        {{{.dims = {2, 3, 4}}, {.dims = {3, 4}}, {.dims = {}}}, LayerNormAttributes{1, 1e-2}},
        {{{.dims = {2, 4}}, {.dims = {4}}, {.dims = {4}}}, LayerNormAttributes{1, 0}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  const auto axes = op<"axes_from">(x, y["axis"]);
  // With d = x - mean, q = sqrt(mean(d d) + epsilon), u = g w: the gradient is (u - mean(u) - d mean(u d) /
  // q^2) / q.
  s.derivatives =
      lower(rules("derivatives.layer_norm",
                  rewrite(vjp(y = layer_norm(x, w, _), g), wrt(x),
                          let(d = x - mean(x, "axes"_a = axes, "keep"_a = 1)),
                          let(v = mean(d * d, "axes"_a = axes, "keep"_a = 1) + y["epsilon"]), let(u = g * w),
                          (u - mean(u, "axes"_a = axes, "keep"_a = 1) -
                           d * mean(u * d, "axes"_a = axes, "keep"_a = 1) / v) /
                              sqrt(v)),
                  rewrite(vjp(y = layer_norm(x, w, _), g), wrt(w),
                          let(d = x - mean(x, "axes"_a = axes, "keep"_a = 1)),
                          sum_to(g * d / sqrt(mean(d * d, "axes"_a = axes, "keep"_a = 1) + y["epsilon"]),
                                 "shape"_a = shape(w))),
                  rewrite(vjp(layer_norm(_, _, b), g), wrt(b), sum_to(g, "shape"_a = shape(b)))))
          .rules;
  return s;
}

OpSchema rms_norm_schema() {
  OpSchema s = tail_norm("rms_norm");
  s.doc = "w x / sqrt(mean(x^2) + epsilon), the mean over the axes from `axis` on.";
  s.operands = {{"x"}, {"w", Role::parameter}};
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {3, 5}}, {.dims = {5}}}, LayerNormAttributes{-1, 1e-2}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {3, 4}}}, LayerNormAttributes{1, 1e-2}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {}}}, LayerNormAttributes{2, 1e-2}},
                                  {{{.dims = {2, 4}}, {.dims = {4}}}, LayerNormAttributes{1, 0}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  const auto axes = op<"axes_from">(x, y["axis"]);
  // With q = sqrt(mean(x x) + epsilon), u = g w: the gradient is (u - x mean(u x) / q^2) / q.
  s.derivatives =
      lower(rules("derivatives.rms_norm",
                  rewrite(vjp(y = rms_norm(x, w), g), wrt(x),
                          let(v = mean(x * x, "axes"_a = axes, "keep"_a = 1) + y["epsilon"]), let(u = g * w),
                          (u - x * mean(u * x, "axes"_a = axes, "keep"_a = 1) / v) / sqrt(v)),
                  rewrite(vjp(y = rms_norm(x, w), g), wrt(w),
                          sum_to(g * x / sqrt(mean(x * x, "axes"_a = axes, "keep"_a = 1) + y["epsilon"]),
                                 "shape"_a = shape(w)))))
          .rules;
  return s;
}

OpSchema lp_normalize_schema() {
  OpSchema s;
  s.name = "lp_normalize";
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) {
    return batches::but_along(value, operands, value.attributes<LpNormalizeAttributes>().axis);
  };
  s.decides = decisions::none;
  s.finite = [](Expr value, std::size_t) {
    return value.attributes<LpNormalizeAttributes>().epsilon >= 0 ? FiniteFor::all : FiniteFor::none;
  };
  s.passes = passing::anything;
  s.couples = [](Expr value) {
    return std::optional(std::vector<std::int64_t>{value.attributes<LpNormalizeAttributes>().axis});
  };
  s.doc = "x / max((sum of |x|^p along `axis` + epsilon)^(1/p), least), p 1 or 2; 0 where that divisor is 0.";
  s.operands = {{"x"}};
  s.attributes = &attr_type<LpNormalizeAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto a = attributes.as<LpNormalizeAttributes>();
    a.axis = static_cast<std::int64_t>(infer::checked_axis("lp_normalize", a.axis, operands[0].shape.rank()));
    return Attributes(a);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& a = attributes.as<LpNormalizeAttributes>();
    if (operands[0].shape[static_cast<std::size_t>(a.axis)].batch)
      infer::fail("lp_normalize",
                  fmt::format("axis {} of {} holds the batch", a.axis, to_string(operands[0].shape)));
    if (a.p != 1 && a.p != 2) infer::fail("lp_normalize", fmt::format("p must be 1 or 2 but is {}", a.p));
    return infer::floating_same_as_first("lp_normalize")(operands, attributes);
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{
        {{{.dims = {3, 5}}}, LpNormalizeAttributes{-1, 2, 0, 0}},
        {{{.dims = {2, 4, 3}, .gap = 0.02}}, LpNormalizeAttributes{1, 1, 0, 1e-3}},
        {{{.dims = {2, 4, 3}}}, LpNormalizeAttributes{2, 2, 1e-2, 0}},
        {{{.dims = {2, 3}, .low = -0.2, .high = 0.2}}, LpNormalizeAttributes{1, 2, 0, 1}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  const auto along_it = [&](auto what) { return sum(what, "axes"_a = list(y["axis"]), "keep"_a = 1); };
  // With the divisor c, where it is no constant: (g - x sum(g x) / c^2) / c for p = 2, sign(x) for x / c for p = 1.
  s.derivatives =
      lower(
          rules("derivatives.lp_normalize",
                rewrite(vjp(y = lp_normalize(x, "p"_a = 2), g), let(q = along_it(x * x) + y["epsilon"]),
                        let(c = sqrt(q)),
                        over(g - x * where(c < y["least"], 0, over(along_it(g * x), q)), max(c, y["least"]))),
                rewrite(vjp(y = lp_normalize(x, "p"_a = 1), g), let(c = along_it(abs(x)) + y["epsilon"]),
                        over(g - sign(x) * where(c < y["least"], 0, over(along_it(g * x), c)),
                             max(c, y["least"])))))
          .rules;
  return s;
}

}  // namespace

std::vector<OpSchema> row_norm_operators() {
  std::vector<OpSchema> all;
  all.push_back(layer_norm_schema());
  all.push_back(rms_norm_schema());
  all.push_back(lp_normalize_schema());
  return all;
}

}  // namespace rulegrad
