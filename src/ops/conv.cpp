#include <fmt/format.h>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/windows.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::ConvAttributes, strides, pads_begin, pads_end, dilations, groups);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ConvTransposeAttributes, strides, pads_begin, pads_end, dilations, groups,
                        spatial);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ConvWeightGradAttributes, strides, pads_begin, pads_end, dilations, groups,
                        kernel);

namespace rulegrad {

template <>
const AttrType& attr_type<ConvAttributes>() {
  static const AttrType type = derive_attr_type<ConvAttributes>("conv");
  return type;
}
template <>
const AttrType& attr_type<ConvTransposeAttributes>() {
  static const AttrType type = derive_attr_type<ConvTransposeAttributes>("conv_transpose");
  return type;
}
template <>
const AttrType& attr_type<ConvWeightGradAttributes>() {
  static const AttrType type = derive_attr_type<ConvWeightGradAttributes>("conv_weight_grad");
  return type;
}

namespace {

using namespace dsl::literals;

template <class A>
Attributes normalized_conv(const std::string& op, std::span<const Type> operands,
                           const Attributes& attributes) {
  A result = attributes.as<A>();
  const Shape& x = operands[0].shape;
  if (x.rank() < 3 || x.rank() > 5)
    infer::fail(op, fmt::format("x must be [batch, channels, 1 to 3 spatial axes] but is {}", to_string(x)));
  windows::fill_lists(op, x.rank() - 2, result.strides, result.pads_begin, result.pads_end, result.dilations);
  if (result.groups < 1) infer::fail(op, fmt::format("groups must be at least 1 but is {}", result.groups));
  return result;
}

std::int64_t channels(const std::string& op, const char* operand, const Shape& shape, std::size_t axis) {
  if (shape[axis].batch)
    infer::fail(op, fmt::format("axis {} of {} {} holds the batch, where channels are counted", axis, operand,
                                to_string(shape)));
  return shape[axis].factor;
}

void check_weight_rank(const std::string& op, const Shape& x, const Shape& w) {
  if (w.rank() != x.rank())
    infer::fail(op, fmt::format("weight must have {} axes as x {} has but is {}", x.rank(), to_string(x),
                                to_string(w)));
}

/// No bias, one number a channel, or a map that broadcasts to the result.
void check_bias(const std::string& op, const Shape& bias, const Shape& result) {
  if (bias.rank() == 0) return;
  if (bias.rank() == 1 && bias[0] == result[1]) return;
  const auto wide = bias.rank() == result.rank() ? broadcast(bias, result) : std::nullopt;
  if (!wide || *wide != result)
    infer::fail(
        op,
        fmt::format("bias must hold one number for each of the {} output channels (dim 1 of {}) but is {}",
                    to_string(result[1]), to_string(result), to_string(bias)));
}

void check_groups(const std::string& op, std::int64_t groups, std::int64_t out, const Shape& w) {
  if (out % groups != 0)
    infer::fail(op, fmt::format("{} groups do not divide the {} channels of dim 0 of weight {}", groups, out,
                                to_string(w)));
}

OpSchema conv_schema() {
  OpSchema s;
  s.name = "conv";
  s.interval = intervals::contraction;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.channels = ChannelAxes{1, 0};
  s.doc =
      "Cross-correlation: x [N, C, spatial...], w [O, C / groups, kernel...], b [O] -> [N, O, windows...].";
  s.operands = {{"x"}, {"w", Role::parameter}, {"b", Role::parameter, true}};
  s.attributes = &attr_type<ConvAttributes>();
  s.classes = {OpClass::affine, OpClass::linear};
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_conv<ConvAttributes>("conv", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& a = attributes.as<ConvAttributes>();
    const Shape &x = operands[0].shape, &w = operands[1].shape;
    const DType dtype = infer::common_dtype("conv", operands);
    check_weight_rank("conv", x, w);
    const std::int64_t in = channels("conv", "x", x, 1),
                       expected = channels("conv", "weight", w, 1) * a.groups;
    if (in != expected)
      infer::fail(
          "conv",
          fmt::format("weight expects {} input channels (dim 1 of {}{}) but x has {} (dim 1 of {})", expected,
                      to_string(w), a.groups == 1 ? "" : fmt::format(" times {} groups", a.groups), in,
                      to_string(x)));
    const std::int64_t out = channels("conv", "weight", w, 0);
    check_groups("conv", a.groups, out, w);
    std::vector<Dim> dims{x[0], out};
    for (const std::int64_t extent : windows::extents("conv", x, windows::spatial_of("conv", w), a.strides,
                                                      a.pads_begin, a.pads_end, a.dilations))
      dims.emplace_back(extent);
    Shape result(std::move(dims));
    check_bias("conv", operands[2].shape, result);
    return Type{dtype, std::move(result)};
  };
  s.examples = [](RandomEngine&) {
    const auto example = [](Dims x, Dims w, bool bias, ConvAttributes a) {
      const std::int64_t out = w[0];
      return OpExample{{{.dims = std::move(x)}, {.dims = std::move(w)}, {.dims = bias ? Dims{out} : Dims{}}},
                       std::move(a)};
    };
    return std::vector<OpExample>{
        example({2, 3, 6, 5}, {4, 3, 3, 3}, true, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}),
        example({2, 3, 7, 6}, {2, 3, 3, 2}, true, {{2, 1}, {0, 1}, {1, 0}, {1, 2}, 1}),
        example({1, 4, 5, 5}, {6, 2, 3, 3}, true, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 2}),
        example({2, 4, 6, 6}, {4, 1, 3, 3}, false, {{2, 2}, {1, 1}, {1, 1}, {1, 1}, 4}),
        example({2, 3, 8}, {2, 3, 3}, true, {{2}, {1}, {1}, {1}, 1}),
        example({1, 2, 4, 4, 3}, {2, 2, 2, 2, 2}, true, {{1, 1, 1}, {0, 0, 1}, {0, 0, 0}, {1, 1, 1}, 1}),
        example({2, 5, 4, 4}, {3, 5, 1, 1}, false, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}),
    };
  };
  using namespace dsl;
  using namespace dsl::letters;
  // A bias that is one number a channel sums over everything but its axis; a map or a number as it
  // broadcasts.
  s.derivatives = lower(rules("derivatives.conv",
                              rewrite(vjp(y = conv(x, w, _), g), wrt(x),
                                      conv_transpose(g, w, 0, like(y), "spatial"_a = spatial(x))),
                              rewrite(vjp(y = conv(x, w, _), g), wrt(w),
                                      conv_weight_grad(x, g, like(y), "kernel"_a = kernel(w))),
                              rewrite(vjp(conv(_, _, b), g), wrt(b), when(rank(b) == 1),
                                      sum(g, "axes"_a = op<"axes_but">(g, 1))),
                              rewrite(vjp(conv(_, _, b), g), wrt(b), sum_to(g, "shape"_a = shape(b)))))
                      .rules;
  return s;
}

OpSchema conv_transpose_schema() {
  OpSchema s;
  s.name = "conv_transpose";
  s.interval = intervals::contraction;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.channels = ChannelAxes{1, 1};
  s.doc =
      "Transposed convolution, the adjoint of conv for its input: x [N, O, ...], w [O, C / groups, "
      "kernel...], b [C] -> [N, C, spatial...].";
  s.operands = {{"x"}, {"w", Role::parameter}, {"b", Role::parameter, true}};
  s.attributes = &attr_type<ConvTransposeAttributes>();
  s.classes = {OpClass::affine, OpClass::linear};
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto a = normalized_conv<ConvTransposeAttributes>("conv_transpose", operands, attributes)
                 .as<ConvTransposeAttributes>();
    if (a.spatial.empty()) {
      // The least extents whose convolution gives the extents of x.
      const Ints in = windows::spatial_of("conv_transpose", operands[0].shape);
      check_weight_rank("conv_transpose", operands[0].shape, operands[1].shape);
      const Ints k = windows::spatial_of("conv_transpose", operands[1].shape);
      for (std::size_t i = 0; i < in.size(); ++i)
        a.spatial.push_back((in[i] - 1) * a.strides[i] + a.dilations[i] * (k[i] - 1) + 1 - a.pads_begin[i] -
                            a.pads_end[i]);
    }
    return Attributes(a);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& a = attributes.as<ConvTransposeAttributes>();
    const Shape &x = operands[0].shape, &w = operands[1].shape;
    const DType dtype = infer::common_dtype("conv_transpose", operands);
    check_weight_rank("conv_transpose", x, w);
    const std::int64_t in = channels("conv_transpose", "x", x, 1),
                       expected = channels("conv_transpose", "weight", w, 0);
    if (in != expected)
      infer::fail("conv_transpose",
                  fmt::format("weight expects {} input channels (dim 0 of {}) but x has {} (dim 1 of {})",
                              expected, to_string(w), in, to_string(x)));
    check_groups("conv_transpose", a.groups, expected, w);
    std::vector<Dim> dims{x[0], channels("conv_transpose", "weight", w, 1) * a.groups};
    if (a.spatial.size() + 2 != x.rank())
      infer::fail("conv_transpose",
                  fmt::format("spatial {} has {} numbers but x {} has {} spatial axes", to_string(a.spatial),
                              a.spatial.size(), to_string(x), x.rank() - 2));
    for (const std::int64_t extent : a.spatial) dims.emplace_back(extent);
    Shape result(std::move(dims));
    const Ints back = windows::extents("conv_transpose", result, windows::spatial_of("conv_transpose", w),
                                       a.strides, a.pads_begin, a.pads_end, a.dilations);
    if (back != windows::spatial_of("conv_transpose", x))
      infer::fail("conv_transpose", fmt::format("a convolution of spatial {} gives {} but x is {}",
                                                to_string(a.spatial), to_string(back), to_string(x)));
    check_bias("conv_transpose", operands[2].shape, result);
    return Type{dtype, std::move(result)};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{
        {{{.dims = {2, 4, 3, 3}}, {.dims = {4, 3, 3, 3}}, {.dims = {3}}},
         ConvTransposeAttributes{{2, 2}, {1, 1}, {1, 1}, {1, 1}, 1, {6, 5}}},
        {{{.dims = {1, 4, 5}}, {.dims = {4, 2, 3}}, {.dims = {4}}},
         ConvTransposeAttributes{{1}, {0}, {1}, {1}, 2, {6}}},
        {{{.dims = {2, 2, 4, 4}}, {.dims = {2, 2, 2, 2}}, {.dims = {}}},
         ConvTransposeAttributes{{1, 1}, {0, 0}, {0, 0}, {2, 1}, 1, {6, 5}}},
    };
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives =
      lower(rules("derivatives.conv_transpose",
                  rewrite(vjp(y = conv_transpose(x, w, _), g), wrt(x), conv(g, w, 0, like(y))),
                  rewrite(vjp(y = conv_transpose(x, w, _), g), wrt(w),
                          conv_weight_grad(g, x, like(y), "kernel"_a = kernel(w))),
                  rewrite(vjp(conv_transpose(_, _, b), g), wrt(b), when(rank(b) == 1),
                          sum(g, "axes"_a = op<"axes_but">(g, 1))),
                  rewrite(vjp(conv_transpose(_, _, b), g), wrt(b), sum_to(g, "shape"_a = shape(b)))))
          .rules;
  return s;
}

OpSchema conv_weight_grad_schema() {
  OpSchema s;
  s.name = "conv_weight_grad";
  s.interval = intervals::contraction;
  s.batch = batches::mixing;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.doc =
      "The adjoint of conv for its weight: x [N, C, spatial...], g [N, O, windows...] -> [O, C / groups, "
      "kernel...].";
  s.operands = {{"x"}, {"g"}};
  s.classes = {OpClass::linear};
  s.attributes = &attr_type<ConvWeightGradAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_conv<ConvWeightGradAttributes>("conv_weight_grad", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& a = attributes.as<ConvWeightGradAttributes>();
    const Shape &x = operands[0].shape, &g = operands[1].shape;
    const DType dtype = infer::common_dtype("conv_weight_grad", operands);
    if (g.rank() != x.rank())
      infer::fail("conv_weight_grad",
                  fmt::format("x {} and g {} must have as many axes", to_string(x), to_string(g)));
    const std::int64_t in = channels("conv_weight_grad", "x", x, 1),
                       out = channels("conv_weight_grad", "g", g, 1);
    if (a.kernel.size() + 2 != x.rank() || g[0] != x[0] || in % a.groups != 0 || out % a.groups != 0)
      infer::fail("conv_weight_grad",
                  fmt::format("x {}, g {}, kernel {} and {} groups do not belong to one convolution",
                              to_string(x), to_string(g), to_string(a.kernel), a.groups));
    const Ints expected =
        windows::extents("conv_weight_grad", x, a.kernel, a.strides, a.pads_begin, a.pads_end, a.dilations);
    if (expected != windows::spatial_of("conv_weight_grad", g))
      infer::fail("conv_weight_grad", fmt::format("windows over x {} give {} but g is {}", to_string(x),
                                                  to_string(expected), to_string(g)));
    std::vector<Dim> dims{out, in / a.groups};
    for (const std::int64_t extent : a.kernel) dims.emplace_back(extent);
    return Type{dtype, Shape(std::move(dims))};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{
        {{{.dims = {2, 3, 6, 5}}, {.dims = {2, 4, 3, 5}}},
         ConvWeightGradAttributes{{2, 1}, {1, 1}, {1, 1}, {1, 1}, 1, {3, 3}}},
        {{{.dims = {1, 4, 5}}, {.dims = {1, 6, 4}}}, ConvWeightGradAttributes{{1}, {0}, {1}, {1}, 2, {3}}},
    };
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives = lower(rules("derivatives.conv_weight_grad",
                              rewrite(vjp(y = conv_weight_grad(x, g), h), wrt(x),
                                      conv_transpose(g, h, 0, like(y), "spatial"_a = spatial(x))),
                              rewrite(vjp(y = conv_weight_grad(x, g), h), wrt(g), conv(x, h, 0, like(y)))))
                      .rules;
  return s;
}

}  // namespace

std::vector<OpSchema> conv_operators() {
  std::vector<OpSchema> all;
  all.push_back(conv_schema());
  all.push_back(conv_transpose_schema());
  all.push_back(conv_weight_grad_schema());
  return all;
}

}  // namespace rulegrad
