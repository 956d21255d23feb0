#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/with_derivatives.hpp"
#include "tensor/held.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::ShapeAttributes, shape);
BOOST_HANA_ADAPT_STRUCT(rulegrad::TransposeAttributes, perm);
BOOST_HANA_ADAPT_STRUCT(rulegrad::AxisAttributes, axis);
BOOST_HANA_ADAPT_STRUCT(rulegrad::FillAttributes, value, dtype, shape);

namespace rulegrad {

template <>
const AttrType& attr_type<ShapeAttributes>() {
  static const AttrType type = derive_attr_type<ShapeAttributes>("shape");
  return type;
}
template <>
const AttrType& attr_type<TransposeAttributes>() {
  static const AttrType type = derive_attr_type<TransposeAttributes>("transpose");
  return type;
}
template <>
const AttrType& attr_type<AxisAttributes>() {
  static const AttrType type = derive_attr_type<AxisAttributes>("axis");
  return type;
}
template <>
const AttrType& attr_type<FillAttributes>() {
  static const AttrType type = derive_attr_type<FillAttributes>("fill");
  return type;
}

namespace {

OpSchema routing(std::string name, std::string doc) {
  OpSchema s;
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.classes = {OpClass::routing, OpClass::linear};
  s.interval = intervals::same;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  return s;
}

/// The same number under the other shape.
Expr refilled(Expr fill, const Shape& shape) {
  const auto& old = fill.attributes<FillAttributes>();
  return fill.graph().apply(fill.op(), {}, FillAttributes{old.value, old.dtype, shape});
}

std::int64_t extents(const Shape& shape, std::size_t from, std::size_t to) {
  std::int64_t product = 1;
  for (std::size_t axis = from; axis < to; ++axis) product *= shape[axis].factor;
  return product;
}

/// The batch stands in one axis before and after, where what lies before and behind it may change places with
/// its neighbours.
BatchFlow reshaped(Expr value, batches::Places operands) {
  const BatchPlace& at = *operands[0];
  const Shape &before = value.operand(0).shape(), &after = value.shape();
  std::size_t axis = 0;
  while (axis < after.rank() && !after[axis].batch) ++axis;
  if (axis == after.rank()) return batches::mixing(value, operands);
  const std::int64_t outer = extents(before, 0, at.axis) * at.outer,
                     inner = at.inner * extents(before, at.axis + 1, before.rank());
  const std::int64_t in_front = extents(after, 0, axis), behind = extents(after, axis + 1, after.rank());
  if (in_front == 0 || behind == 0 || outer % in_front != 0 || inner % behind != 0)
    return batches::mixing(value, operands);
  return {false, BatchPlace{axis, outer / in_front, inner / behind}};
}

OpSchema reshaping() {
  OpSchema s = routing("reshape", "the elements of x, in row-major order, under another shape of as many");
  s.batch = reshaped;
  s.attributes = &attr_type<ShapeAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Shape& shape = attributes.as<ShapeAttributes>().shape;
    infer::require_one_batch("reshape", shape, "x " + to_string(operands[0]));
    const Dim from = operands[0].shape.count(), to = shape.count();
    if (from != to)
      infer::fail("reshape", fmt::format("x {} has {} elements but shape {} has {}", to_string(operands[0]),
                                         to_string(from), to_string(shape), to_string(to)));
    return Type{operands[0].dtype, shape};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const Expr x = operands[0];
    const Shape& shape = attributes.as<ShapeAttributes>().shape;
    if (same_dims(x.shape(), shape)) return x;
    // An invalid one stays invalid: both reshapes see as many elements.
    if (x.is("reshape")) return x.graph().apply(x.op(), {x.operand(0)}, ShapeAttributes{shape});
    if (fill_of(x) && x.shape().count() == shape.count()) return refilled(x, shape);
    return std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3, 4}}}, ShapeAttributes{Shape{2, 12}}},
       {{{.dims = {2, 6}}}, ShapeAttributes{Shape{4, 3}}},
       {{{.dims = {1}}}, ShapeAttributes{Shape{}}},
       {{{.dims = {3, 2}, .low = -5, .high = 5, .dtype = DType::int64}}, ShapeAttributes{Shape{6}}}});
  return s;
}

OpSchema expansion() {
  OpSchema s = routing("expand", "x stretched to `shape` by broadcasting");
  s.batch = batches::aligned;
  s.attributes = &attr_type<ShapeAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Shape& shape = attributes.as<ShapeAttributes>().shape;
    const auto wide = broadcast(operands[0].shape, shape);
    if (!wide || *wide != shape)
      infer::fail(
          "expand",
          fmt::format("x {} does not stretch to {}: aligned at the last axis, each extent of x must be "
                      "that of the shape or 1",
                      to_string(operands[0]), to_string(shape)));
    return Type{operands[0].dtype, shape};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const Expr x = operands[0];
    const Shape& shape = attributes.as<ShapeAttributes>().shape;
    if (same_dims(x.shape(), shape)) return x;
    const auto wide = broadcast(x.shape().with_samples(false), shape);
    if (!wide || *wide != shape) return std::nullopt;
    if (x.is("expand")) return x.graph().apply(x.op(), {x.operand(0)}, ShapeAttributes{shape});
    if (fill_of(x)) return refilled(x, shape);
    return std::nullopt;
  };
  s.examples = fixed_examples({{{{.dims = {3}}}, ShapeAttributes{Shape{2, 3}}},
                               {{{.dims = {2, 1, 4}}}, ShapeAttributes{Shape{2, 3, 4}}},
                               {{{.dims = {}}}, ShapeAttributes{Shape{2, 2}}},
                               {{{.dims = {3, 1}}}, ShapeAttributes{Shape{2, 3, 4}}}});
  return s;
}

Ints checked_perm(const Type& x, const Ints& perm) {
  const std::size_t rank = x.shape.rank();
  Ints result;
  for (const std::int64_t axis : perm)
    result.push_back(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
  if (perm.empty())
    for (std::size_t axis = rank; axis-- > 0;) result.push_back(static_cast<std::int64_t>(axis));
  Ints sorted = result;
  std::sort(sorted.begin(), sorted.end());
  bool all = sorted.size() == rank;
  for (std::size_t axis = 0; all && axis < rank; ++axis)
    all = sorted[axis] == static_cast<std::int64_t>(axis);
  if (!all)
    infer::fail("transpose", fmt::format("perm {} must name each of the {} axes of x {} once",
                                         to_string(AttrValue(perm)), rank, to_string(x)));
  return result;
}

OpSchema transposition() {
  OpSchema s =
      routing("transpose", "axis i of the result is axis perm[i] of x; an empty perm reverses the axes");
  s.batch = [](Expr value, batches::Places operands) {
    const Ints& perm = value.attributes<TransposeAttributes>().perm;
    BatchPlace at = *operands[0];
    at.axis = static_cast<std::size_t>(
        std::find(perm.begin(), perm.end(), static_cast<std::int64_t>(at.axis)) - perm.begin());
    return BatchFlow{false, at};
  };
  s.attributes = &attr_type<TransposeAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return TransposeAttributes{checked_perm(operands[0], attributes.as<TransposeAttributes>().perm)};
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    std::vector<Dim> dims;
    for (const std::int64_t axis : checked_perm(operands[0], attributes.as<TransposeAttributes>().perm))
      dims.push_back(operands[0].shape[static_cast<std::size_t>(axis)]);
    return Type{operands[0].dtype, Shape(std::move(dims))};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const Expr x = operands[0];
    Ints perm = checked_perm(x.type(), attributes.as<TransposeAttributes>().perm);
    if (std::is_sorted(perm.begin(), perm.end())) return x;
    if (!x.is("transpose")) return std::nullopt;
    const Ints inner = checked_perm(x.operand(0).type(), x.attributes<TransposeAttributes>().perm);
    for (std::int64_t& axis : perm) axis = inner[static_cast<std::size_t>(axis)];
    return x.graph().apply(x.op(), {x.operand(0)}, TransposeAttributes{perm});
  };
  s.examples = [](RandomEngine& random) {
    Ints perm{0, 1, 2, 3};
    std::shuffle(perm.begin(), perm.end(), random);
    return std::vector<OpExample>{
        {{{.dims = {2, 3}}}, TransposeAttributes{{1, 0}}},
        {{{.dims = {2, 3, 4}}}, TransposeAttributes{{0, 2, 1}}},
        {{{.dims = {2, 3, 1, 4}}}, TransposeAttributes{perm}},
        {{{.dims = {3, 2}, .low = 0, .high = 9, .dtype = DType::int32}}, TransposeAttributes{{1, 0}}}};
  };
  return s;
}

Type concatenated(std::span<const Type> operands, std::int64_t axis_attribute) {
  const Type& first = operands[0];
  const std::size_t axis = infer::checked_axis("concat", axis_attribute, first.shape.rank());
  if (operands.size() == 1) return first;
  (void)infer::common_dtype("concat", operands);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Type& operand = operands[i];
    if (operand.shape.rank() != first.shape.rank())
      infer::fail(
          "concat",
          fmt::format("operands must have the same number of axes but operand 0 is {} and operand {} is {}",
                      to_string(first), i, to_string(operand)));
    for (std::size_t other = 0; other < first.shape.rank(); ++other)
      if (other != axis && operand.shape[other] != first.shape[other])
        infer::fail("concat", fmt::format("operands must agree in every axis but {} but operand 0 {} and "
                                          "operand {} {} differ in axis {}",
                                          axis, to_string(first), i, to_string(operand), other));
    if (operand.shape[axis].batch)
      infer::fail(
          "concat",
          fmt::format(
              "axis {} of operand {} {} is the batch extent {}; only axes of fixed extents can be joined",
              axis, i, to_string(operand), to_string(operand.shape[axis])));
    total += operand.shape[axis].factor;
  }
  std::vector<Dim> dims = first.shape.dims();
  dims[axis] = Dim{total};
  return {first.dtype, Shape(std::move(dims))};
}

/// All operands that have the batch have it in one place, which is not the axis along which they are joined.
BatchFlow joined(Expr value, batches::Places operands) {
  const auto axis = static_cast<std::size_t>(value.attributes<AxisAttributes>().axis);
  std::optional<BatchPlace> result;
  for (const auto& at : operands) {
    if (!at) continue;
    if (at->axis == axis || (result && *result != *at)) return batches::mixing(value, operands);
    result = at;
  }
  return {false, result};
}

OpSchema concatenation() {
  OpSchema s = routing("concat", "the operands one after the other along `axis`");
  s.interval = intervals::any_of;
  s.batch = joined;
  s.operands = {{.name = "x", .variadic = true}};
  s.attributes = &attr_type<AxisAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    const std::int64_t axis = attributes.as<AxisAttributes>().axis;
    return AxisAttributes{
        static_cast<std::int64_t>(infer::checked_axis("concat", axis, operands[0].shape.rank()))};
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    return concatenated(operands, attributes.as<AxisAttributes>().axis);
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    return operands.size() == 1 ? std::optional(operands[0]) : std::nullopt;
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 1, 4);
    return std::vector<OpExample>{
        {{{.dims = {2, 3}}, {.dims = {2, n}}}, AxisAttributes{1}},
        {{{.dims = {2, n, 2}}, {.dims = {2, 3, 2}}, {.dims = {2, 1, 2}}}, AxisAttributes{1}},
        {{{.dims = {n}}, {.dims = {3}}}, AxisAttributes{0}},
        {{{.dims = {2, 1, 3}}, {.dims = {2, 1, 2}}}, AxisAttributes{2}},
        {{{.dims = {2, 2}, .low = 0, .high = 9, .dtype = DType::int64},
          {.dims = {2, 1}, .low = 0, .high = 9, .dtype = DType::int64}},
         AxisAttributes{1}}};
  };
  return s;
}

OpSchema filling() {
  OpSchema s;
  s.name = "fill";
  s.doc = "`value` everywhere, in `dtype` and `shape`";
  s.interval = [](Expr fill, std::span<const Interval>) {
    const double value = as_held(fill.dtype(), fill.attributes<FillAttributes>().value);
    return Interval{value, value};
  };
  s.batch = batches::nowhere;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.attributes = &attr_type<FillAttributes>();
  s.infer = [](std::span<const Type>, const Attributes& attributes) {
    const auto& fill = attributes.as<FillAttributes>();
    infer::require_held("fill", "value", fill.value, fill.dtype);
    return Type{fill.dtype, fill.shape};
  };
  s.examples = fixed_examples({{{}, FillAttributes{1.5, DType::float64, Shape{2, 3}}},
                               {{}, FillAttributes{-2, DType::int64, Shape{4}}},
                               {{}, FillAttributes{0, DType::float64, Shape{}}}});
  return s;
}

}  // namespace

std::vector<OpSchema> movement_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto to_x = "shape"_a = shape(x);
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(reshaping(), rewrite(vjp(reshape(x), g), reshape(g, to_x))));
  all.push_back(with_derivatives(expansion(), rewrite(vjp(expand(x), g), sum_to(g, to_x))));
  all.push_back(with_derivatives(
      transposition(), rewrite(vjp(y = transpose(), g), transpose(g, "perm"_a = inverse(y["perm"])))));
  all.push_back(with_derivatives(
      concatenation(),
      rewrite(vjp(y = concat(), g), wrt(v),
              slice(g, "axes"_a = list(y["axis"]), "starts"_a = list(offset(y)),
                    "stops"_a = list(offset(y) + extent(v, y["axis"])), "steps"_a = list(1)))));
  all.push_back(filling());
  return all;
}

}  // namespace rulegrad
