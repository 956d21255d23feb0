#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/saying.hpp"
#include "ops/with_derivatives.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::ReduceAttributes, axes, keep);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ArgAttributes, axis, keep);
BOOST_HANA_ADAPT_STRUCT(rulegrad::QuantileAttributes, q);

namespace rulegrad {

template <>
const AttrType& attr_type<ReduceAttributes>() {
  static const AttrType type = derive_attr_type<ReduceAttributes>("reduce");
  return type;
}
template <>
const AttrType& attr_type<ArgAttributes>() {
  static const AttrType type = derive_attr_type<ArgAttributes>("arg");
  return type;
}
template <>
const AttrType& attr_type<QuantileAttributes>() {
  static const AttrType type = derive_attr_type<QuantileAttributes>("quantile");
  return type;
}

namespace {

using infer::Numbers;

Shape reduced(const Shape& shape, const Ints& axes, bool keep) {
  std::vector<Dim> dims;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    const bool gone = std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(axis));
    if (!gone)
      dims.push_back(shape[axis]);
    else if (keep)
      dims.emplace_back(1);
  }
  return Shape(std::move(dims));
}

Attributes from_the_front(const std::string& op_name, std::span<const Type> operands,
                          ReduceAttributes reduce) {
  reduce.axes = infer::checked_axes(op_name, reduce.axes, operands[0].shape.rank());
  return reduce;
}

/// A sum, mean, product or extreme of single values is those values, under another shape perhaps.
std::optional<Expr> of_single_values(const std::string& op_name, Expr x, const ReduceAttributes& attributes) {
  const Ints axes = infer::checked_axes(op_name, attributes.axes, x.shape().rank());
  for (const std::int64_t axis : axes)
    if (!x.shape()[static_cast<std::size_t>(axis)].is(1)) return std::nullopt;
  return x.graph().apply(op("reshape"), {x}, ShapeAttributes{reduced(x.shape(), axes, attributes.keep)});
}

/// The batch is not among what is reduced; where axes go, those behind move up.
BatchFlow beside(Expr value, batches::Places operands, const Ints& axes, bool keep) {
  BatchPlace at = *operands[0];
  const auto axis = static_cast<std::int64_t>(at.axis);
  if (axes.empty() || std::find(axes.begin(), axes.end(), axis) != axes.end())
    return batches::mixing(value, operands);
  if (!keep)
    at.axis -= static_cast<std::size_t>(
        std::count_if(axes.begin(), axes.end(), [&](std::int64_t gone) { return gone < axis; }));
  return {false, at};
}

OpSchema reduction(std::string name, std::string doc, IntervalOf interval, ExampleOperand values) {
  OpSchema s;
  s.interval = std::move(interval);
  s.batch = [](Expr value, batches::Places operands) {
    const auto& reduce = value.attributes<ReduceAttributes>();
    return beside(value, operands, reduce.axes, reduce.keep);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.reduces = true;
  s.infer = [name](std::span<const Type> operands, const Attributes& attributes) {
    infer::require(name, "x", operands[0], Numbers::arithmetic);
    const auto& reduce = attributes.as<ReduceAttributes>();
    const Shape& shape = operands[0].shape;
    return Type{operands[0].dtype,
                reduced(shape, infer::checked_axes(name, reduce.axes, shape.rank()), reduce.keep)};
  };
  s.normalize = [name](std::span<const Type> operands, const Attributes& attributes) {
    return from_the_front(name, operands, attributes.as<ReduceAttributes>());
  };
  s.simpler = [name](std::span<const Expr> operands, const Attributes& attributes) {
    return of_single_values(name, operands[0], attributes.as<ReduceAttributes>());
  };
  s.name = std::move(name);
  s.doc = std::move(doc) + " over `axes` (empty: all); `keep` leaves extents of 1";
  s.operands = {{"x"}};
  s.attributes = &attr_type<ReduceAttributes>();
  s.examples = [values = std::move(values)](RandomEngine& random) {
    const auto x = [&](Dims dims) {
      ExampleOperand operand = values;
      operand.dims = std::move(dims);
      return operand;
    };
    const std::int64_t n = random_extent(random, 2, 4);
    return std::vector<OpExample>{{{x({2, 3})}, ReduceAttributes{{0, 1}, false}},
                                  {{x({2, n, 4})}, ReduceAttributes{{1}, true}},
                                  {{x({2, 3, n, 2})}, ReduceAttributes{{2, 3}, true}},
                                  {{x({2, 3, 4})}, ReduceAttributes{{0, 2}, false}},
                                  {{x({3, 1, n})}, ReduceAttributes{{1}, false}}};
  };
  return s;
}

OpSchema summation() {
  OpSchema s = reduction("sum", "the sum", intervals::totals_of_first, {});
  s.passes = passing::summed;
  s.classes = {OpClass::linear};
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const auto& reduce = attributes.as<ReduceAttributes>();
    const Expr x = operands[0];
    if (const auto same = of_single_values("sum", x, reduce)) return same;
    const auto* fill = fill_of(x);
    if (fill == nullptr) return std::nullopt;
    // Whole numbers of this size add up without rounding in every order.
    constexpr double exact = 16777216;
    const Ints axes = infer::checked_axes("sum", reduce.axes, x.shape().rank());
    double total = fill->value;
    for (const std::int64_t axis : axes) {
      const Dim extent = x.shape()[static_cast<std::size_t>(axis)];
      if (extent.batch) return std::nullopt;
      total *= static_cast<double>(extent.factor);
    }
    if (fill->value != std::floor(fill->value) || std::abs(total) > exact) return std::nullopt;
    return x.graph().apply(x.op(), {},
                           FillAttributes{total, fill->dtype, reduced(x.shape(), axes, reduce.keep)});
  };
  return s;
}

OpSchema first_max() {
  OpSchema s = reduction("first_max", "true at the first largest value, in row-major order,",
                         intervals::anything, {.dims = {}, .gap = 0.02});
  s.doc =
      "true at the first largest value of x, in row-major order, over `axes` (empty: all), false elsewhere; "
      "the shape of x";
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("first_max", "x", operands[0], Numbers::arithmetic);
    (void)infer::checked_axes("first_max", attributes.as<ReduceAttributes>().axes, operands[0].shape.rank());
    return Type{DType::boolean, operands[0].shape};
  };
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return from_the_front("first_max", operands,
                          ReduceAttributes{attributes.as<ReduceAttributes>().axes, false});
  };
  s.simpler = nullptr;
  s.batch = [](Expr value, batches::Places operands) {
    return beside(value, operands, value.attributes<ReduceAttributes>().axes, true);
  };
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.reduces = false;
  return s;
}

OpSchema arg(std::string name, std::string doc) {
  OpSchema s;
  s.infer = [name](std::span<const Type> operands, const Attributes& attributes) {
    infer::require(name, "x", operands[0], Numbers::arithmetic);
    const auto& where = attributes.as<ArgAttributes>();
    const std::size_t axis = infer::checked_axis(name, where.axis, operands[0].shape.rank());
    if (const Dim extent = operands[0].shape[axis]; extent.batch || extent.factor == 0)
      infer::fail(name,
                  fmt::format("axis {} of x {} has the extent {}; an index needs a fixed extent of 1 or more",
                              axis, to_string(operands[0]), to_string(extent)));
    return Type{DType::int64, reduced(operands[0].shape, {static_cast<std::int64_t>(axis)}, where.keep)};
  };
  s.normalize = [name](std::span<const Type> operands, const Attributes& attributes) {
    auto where = attributes.as<ArgAttributes>();
    where.axis = static_cast<std::int64_t>(infer::checked_axis(name, where.axis, operands[0].shape.rank()));
    return Attributes(where);
  };
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.attributes = &attr_type<ArgAttributes>();
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) {
    const auto& where = value.attributes<ArgAttributes>();
    return beside(value, operands, {where.axis}, where.keep);
  };
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 2, 5);
    return std::vector<OpExample>{
        {{{.dims = {2, 5}, .gap = 0.05}}, ArgAttributes{1, false}},
        {{{.dims = {3, n, 2}, .gap = 0.04}}, ArgAttributes{1, true}},
        {{{.dims = {4, n}, .low = -2, .high = 2, .dtype = DType::int64}}, ArgAttributes{0, false}}};
  };
  return s;
}

OpSchema summation_to() {
  OpSchema s;
  s.name = "sum_to";
  s.interval = intervals::sums_of_first;
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.doc =
      "the sum over the axes that `shape` stretches along when it broadcasts to the shape of x: the adjoint "
      "of expand";
  s.operands = {{"x"}};
  s.attributes = &attr_type<ShapeAttributes>();
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("sum_to", "x", operands[0], Numbers::arithmetic);
    const Shape& shape = attributes.as<ShapeAttributes>().shape;
    const auto wide = broadcast(shape, operands[0].shape);
    if (!wide || *wide != operands[0].shape)
      infer::fail(
          "sum_to",
          fmt::format(
              "x {} cannot be summed to {}: aligned at the last axis, each extent must be that of x or 1",
              to_string(operands[0]), to_string(shape)));
    return Type{operands[0].dtype, shape};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    if (same_dims(operands[0].shape(), attributes.as<ShapeAttributes>().shape)) return operands[0];
    return std::nullopt;
  };
  s.examples = fixed_examples({{{{.dims = {2, 3}}}, ShapeAttributes{Shape{3}}},
                               {{{.dims = {2, 3, 4}}}, ShapeAttributes{Shape{3, 1}}},
                               {{{.dims = {2, 3, 4}}}, ShapeAttributes{Shape{}}},
                               {{{.dims = {2, 3}}}, ShapeAttributes{Shape{2, 3}}}});
  return s;
}

OpSchema quantiles() {
  OpSchema s;
  s.name = "quantile";
  s.interval = intervals::anything;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.doc =
      "the q-th quantile of all values of a sample, linear between ranks: [N, ...] to [N, 1, ...]; it has no "
      "derivative";
  s.operands = {{"x"}};
  s.attributes = &attr_type<QuantileAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("quantile", "x", operands[0], Numbers::floating);
    const double q = attributes.as<QuantileAttributes>().q;
    if (!(q >= 0 && q <= 1))
      throw Error(ErrorCode::invalid_argument, fmt::format("[quantile] q is {} but must lie in [0, 1]", q));
    const Shape& shape = operands[0].shape;
    if (shape.rank() == 0)
      infer::fail("quantile", fmt::format("x {} has no axis of samples", to_string(operands[0])));
    for (std::size_t axis = 1; axis < shape.rank(); ++axis)
      if (shape[axis].batch || shape[axis].factor == 0)
        infer::fail("quantile", fmt::format("axis {} of x {} must have a fixed extent of 1 or more", axis,
                                            to_string(operands[0])));
    std::vector<Dim> dims(shape.rank(), Dim{1});
    dims[0] = shape[0];
    return Type{operands[0].dtype, Shape(std::move(dims))};
  };
  s.examples = fixed_examples({{{{.dims = {2, 5}}}, QuantileAttributes{0.5}},
                               {{{.dims = {2, 3, 4}}}, QuantileAttributes{0.99}},
                               {{{.dims = {3, 2, 2, 2}}}, QuantileAttributes{0}}});
  return s;
}

}  // namespace

std::vector<OpSchema> reduction_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto to_x = "shape"_a = shape(x);
  // The shape of the result with extents of 1 where it was reduced.
  constexpr auto kept = "shape"_a = shape(sum(x, like(y), "keep"_a = 1));
  // Values of at most 24 elements, all distinct.
  const ExampleOperand distinct{.dims = {}, .low = -2, .high = 2, .gap = 0.02};
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(summation(), rewrite(vjp(y = sum(x), g), expand(reshape(g, kept), to_x))));
  OpSchema average = reduction("mean", "the mean", intervals::totals_of_first, {});
  average.passes = passing::summed;
  average.classes = {OpClass::linear};
  // The number of values is a sum of ones: a number, unless the batch is among the axes.
  all.push_back(with_derivatives(
      std::move(average),
      rewrite(vjp(y = mean(x), g),
              let(n = sum(fill("value"_a = 1, "dtype"_a = dtype(x), "shape"_a = shape(x)), like(y))),
              expand(reshape(g / n, kept), to_x))));
  all.push_back(with_derivatives(
      passing_on(
          reduction("amax", "the largest value (at ties the derivative goes to the first in row-major order)",
                    intervals::same, distinct),
          passing::moved),
      rewrite(vjp(y = amax(x), g), where(op<"first_max">(x, like(y)), reshape(g, kept), 0))));
  all.push_back(with_derivatives(
      passing_on(reduction("amin",
                           "the smallest value (at ties the derivative goes to the first in row-major order)",
                           intervals::same, distinct),
                 passing::moved),
      rewrite(vjp(y = amin(x), g), where(op<"first_max">(-x, like(y)), reshape(g, kept), 0))));
  // The product of the others: of those that are not 0, if none of the others is 0. z marks zeros, p has 1
  // for them.
  all.push_back(with_derivatives(
      reduction("prod", "the product", intervals::anything, {.dims = {}, .low = 0.5, .high = 1.5}),
      rewrite(vjp(y = prod(x), g), let(z = cast(x == 0, "dtype"_a = dtype(x)), p = where(x == 0, 1, x)),
              where(sum(z, like(y), "keep"_a = 1) == z,
                    reshape(g, kept) * (prod(p, like(y), "keep"_a = 1) / p), 0))));
  all.push_back(first_max());
  all.push_back(arg("argmax", "the index of the first largest value along `axis`"));
  all.push_back(arg("argmin", "the index of the first smallest value along `axis`"));
  all.push_back(with_derivatives(summation_to(), rewrite(vjp(sum_to(x), g), expand(g, to_x))));
  all.push_back(quantiles());
  return all;
}

}  // namespace rulegrad
