#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/with_derivatives.hpp"
#include "tensor/held.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::SliceAttributes, axes, starts, stops, steps);
BOOST_HANA_ADAPT_STRUCT(rulegrad::SliceVjpAttributes, axes, starts, stops, steps, shape);
BOOST_HANA_ADAPT_STRUCT(rulegrad::PadAttributes, begin, end, mode, value);
BOOST_HANA_ADAPT_STRUCT(rulegrad::PadVjpAttributes, begin, end, mode);

namespace rulegrad {

template <>
struct enum_words<PadMode> {
  static constexpr std::array<std::string_view, 3> words{"constant", "reflect", "edge"};
};

template <>
const AttrType& attr_type<SliceAttributes>() {
  static const AttrType type = derive_attr_type<SliceAttributes>("slice");
  return type;
}
template <>
const AttrType& attr_type<SliceVjpAttributes>() {
  static const AttrType type = derive_attr_type<SliceVjpAttributes>("slice_vjp");
  return type;
}
template <>
const AttrType& attr_type<PadAttributes>() {
  static const AttrType type = derive_attr_type<PadAttributes>("pad");
  return type;
}
template <>
const AttrType& attr_type<PadVjpAttributes>() {
  static const AttrType type = derive_attr_type<PadVjpAttributes>("pad_vjp");
  return type;
}

namespace {

/// The shape of x[starts:stops:steps] along the axes; `what` names x in messages.
template <class A>
Shape sliced(const std::string& op, const A& slice, const Shape& shape, const std::string& what) {
  const std::size_t count = slice.axes.size();
  if (slice.starts.size() != count || slice.stops.size() != count || slice.steps.size() != count)
    infer::fail(
        op,
        fmt::format("axes, starts, stops and steps must be equally long but have {}, {}, {} and {} entries",
                    count, slice.starts.size(), slice.stops.size(), slice.steps.size()));
  if (count > 0) (void)infer::checked_axes(op, slice.axes, shape.rank());
  std::vector<Dim> dims = shape.dims();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t axis = infer::checked_axis(op, slice.axes[i], shape.rank());
    if (dims[axis].batch)
      infer::fail(
          op, fmt::format(
                  "axis {} of {} is the batch extent {}, which can only be taken whole: leave it out of axes",
                  axis, what, to_string(dims[axis])));
    const std::int64_t extent = dims[axis].factor, start = slice.starts[i], stop = slice.stops[i],
                       step = slice.steps[i];
    const bool forward = step > 0 && 0 <= start && start <= stop && stop <= extent;
    const bool backward = step < 0 && -1 <= stop && stop <= start && start < extent;
    if (!forward && !backward)
      infer::fail(
          op, fmt::format("start {}, stop {} and step {} do not lie within axis {} of {}, whose extent is {}",
                          start, stop, step, axis, what, extent));
    const std::int64_t distance = step > 0 ? stop - start : start - stop, stride = step > 0 ? step : -step;
    dims[axis] = Dim{(distance + stride - 1) / stride};
  }
  return Shape(std::move(dims));
}

/// Along the axis of the batch nothing is cut.
BatchFlow untouched(Expr value, batches::Places operands, const Ints& axes) {
  const bool cut =
      std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(operands[0]->axis)) != axes.end();
  return cut ? batches::mixing(value, operands) : batches::same(value, operands);
}

/// Nor anything added.
BatchFlow unpadded(Expr value, batches::Places operands, const Ints& begin, const Ints& end) {
  const std::size_t axis = operands[0]->axis;
  return begin[axis] != 0 || end[axis] != 0 ? batches::mixing(value, operands)
                                            : batches::same(value, operands);
}

OpSchema slicing() {
  OpSchema s;
  s.interval = intervals::same;
  s.batch = [](Expr value, batches::Places operands) {
    return untouched(value, operands, value.attributes<SliceAttributes>().axes);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.name = "slice";
  s.doc =
      "x[starts:stops:steps] along `axes`, as NumPy writes it; a stop of -1 with a negative step is past the "
      "front";
  s.operands = {{"x"}};
  s.attributes = &attr_type<SliceAttributes>();
  s.classes = {OpClass::routing, OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    return Type{operands[0].dtype, sliced("slice", attributes.as<SliceAttributes>(), operands[0].shape,
                                          "x " + to_string(operands[0]))};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const auto& slice = attributes.as<SliceAttributes>();
    const Expr x = operands[0];
    const Shape result = sliced("slice", slice, x.shape(), "x " + to_string(x.type()));
    const bool forward =
        std::all_of(slice.steps.begin(), slice.steps.end(), [](std::int64_t step) { return step > 0; });
    return same_dims(result, x.shape()) && forward ? std::optional(x) : std::nullopt;
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 3, 6);
    return std::vector<OpExample>{
        {{{.dims = {2, 5}}}, SliceAttributes{{1}, {1}, {4}, {1}}},
        {{{.dims = {2, n, 7}}}, SliceAttributes{{1, 2}, {0, 1}, {n - 1, 7}, {1, 3}}},
        {{{.dims = {2, n}}}, SliceAttributes{{1}, {n - 1}, {-1}, {-1}}},
        {{{.dims = {2, 6}}}, SliceAttributes{{1}, {4}, {0}, {-2}}},
        {{{.dims = {5}, .low = 0, .high = 9, .dtype = DType::int64}}, SliceAttributes{{0}, {2}, {5}, {2}}}};
  };
  return s;
}

OpSchema slicing_vjp() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = [](Expr value, batches::Places operands) {
    return untouched(value, operands, value.attributes<SliceVjpAttributes>().axes);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.name = "slice_vjp";
  s.doc = "zeros of `shape` with g where slice takes its elements from: the adjoint of slice";
  s.operands = {{"g"}};
  s.attributes = &attr_type<SliceVjpAttributes>();
  s.classes = {OpClass::routing, OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& slice = attributes.as<SliceVjpAttributes>();
    const Shape taken = sliced("slice_vjp", slice, slice.shape, "shape " + to_string(slice.shape));
    if (taken != operands[0].shape)
      infer::fail("slice_vjp", fmt::format("g {} must have the shape {} that the slice of {} has",
                                           to_string(operands[0]), to_string(taken), to_string(slice.shape)));
    return Type{operands[0].dtype, slice.shape};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const auto& slice = attributes.as<SliceVjpAttributes>();
    const bool forward =
        std::all_of(slice.steps.begin(), slice.steps.end(), [](std::int64_t step) { return step > 0; });
    if (same_dims(operands[0].shape(), slice.shape) && forward) return operands[0];
    return std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}}, SliceVjpAttributes{{1}, {1}, {4}, {1}, Shape{2, 5}}},
       {{{.dims = {2, 2, 2}}}, SliceVjpAttributes{{1, 2}, {0, 1}, {2, 7}, {1, 3}, Shape{2, 3, 7}}},
       {{{.dims = {2, 4}}}, SliceVjpAttributes{{1}, {3}, {-1}, {-1}, Shape{2, 4}}}});
  return s;
}

/// x with `sign` times the padding around it.
template <class A>
Shape padded(const std::string& op, const A& pad, const Type& x, const std::string& name, std::int64_t sign) {
  const std::size_t rank = x.shape.rank();
  const std::string what = name + " " + to_string(x);
  if (pad.begin.size() != rank || pad.end.size() != rank)
    infer::fail(
        op, fmt::format("begin and end need an entry for each of the {} axes of {} but have {} and {}", rank,
                        what, pad.begin.size(), pad.end.size()));
  std::vector<Dim> dims = x.shape.dims();
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (pad.begin[axis] == 0 && pad.end[axis] == 0) continue;
    if (dims[axis].batch)
      infer::fail(op, fmt::format("axis {} of {} is the batch extent {}, which cannot be padded", axis, what,
                                  to_string(dims[axis])));
    const std::int64_t result = dims[axis].factor + sign * (pad.begin[axis] + pad.end[axis]);
    const std::int64_t inner = sign > 0 ? dims[axis].factor : result;
    if (result < 1 || inner < 1)
      infer::fail(op, fmt::format("padding by {} and {} leaves nothing of axis {} of {}", pad.begin[axis],
                                  pad.end[axis], axis, what));
    if (pad.mode == PadMode::reflect && std::max(pad.begin[axis], pad.end[axis]) >= inner)
      infer::fail(
          op,
          fmt::format("reflection by {} and {} along axis {} of {} needs more than {} elements there",
                      pad.begin[axis], pad.end[axis], axis, what, std::max(pad.begin[axis], pad.end[axis])));
    dims[axis] = Dim{result};
  }
  return Shape(std::move(dims));
}

OpSchema padding() {
  OpSchema s;
  s.interval = [](Expr value, std::span<const Interval> operands) {
    const auto& pad = value.attributes<PadAttributes>();
    if (pad.mode != PadMode::constant) return operands[0];
    const double around = as_held(value.dtype(), pad.value);
    return intervals::either(operands[0], {around, around});
  };
  s.batch = [](Expr value, batches::Places operands) {
    const auto& pad = value.attributes<PadAttributes>();
    return unpadded(value, operands, pad.begin, pad.end);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.name = "pad";
  s.doc =
      "x with `begin` and `end` elements more along each axis: `value`, its mirror image or its edge; "
      "negative ones crop";
  s.operands = {{"x"}};
  s.attributes = &attr_type<PadAttributes>();
  s.classes = {OpClass::routing};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& pad = attributes.as<PadAttributes>();
    if (pad.mode == PadMode::constant) infer::require_held("pad", "value", pad.value, operands[0].dtype);
    return Type{operands[0].dtype, padded("pad", pad, operands[0], "x", 1)};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    const auto& pad = attributes.as<PadAttributes>();
    const auto none = [](const Ints& list) {
      return std::all_of(list.begin(), list.end(), [](std::int64_t n) { return n == 0; });
    };
    if (pad.begin.size() == operands[0].shape().rank() && pad.end.size() == pad.begin.size() &&
        none(pad.begin) && none(pad.end))
      return operands[0];
    return std::nullopt;
  };
  s.examples =
      fixed_examples({{{{.dims = {2, 3}}}, PadAttributes{{0, 1}, {0, 2}, PadMode::constant, 0}},
                      {{{.dims = {2, 3, 4}}}, PadAttributes{{0, 0, 2}, {0, 1, 0}, PadMode::constant, -1.5}},
                      {{{.dims = {2, 3, 4}}}, PadAttributes{{0, 2, 1}, {0, 1, 3}, PadMode::reflect, 0}},
                      {{{.dims = {2, 3, 2}}}, PadAttributes{{0, 1, 0}, {0, 2, 3}, PadMode::edge, 0}},
                      {{{.dims = {2, 5}}}, PadAttributes{{0, -1}, {0, 2}, PadMode::constant, 0}},
                      {{{.dims = {3}, .low = 0, .high = 9, .dtype = DType::int64}},
                       PadAttributes{{2}, {1}, PadMode::constant, 7}}});
  return s;
}

OpSchema padding_vjp() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = [](Expr value, batches::Places operands) {
    const auto& pad = value.attributes<PadVjpAttributes>();
    return unpadded(value, operands, pad.begin, pad.end);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.name = "pad_vjp";
  s.doc =
      "g without the padding, what fell on mirrored or repeated elements added to them: the adjoint of pad";
  s.operands = {{"g"}};
  s.attributes = &attr_type<PadVjpAttributes>();
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("pad_vjp", "g", operands[0], infer::Numbers::floating);
    return Type{operands[0].dtype,
                padded("pad_vjp", attributes.as<PadVjpAttributes>(), operands[0], "g", -1)};
  };
  s.examples =
      fixed_examples({{{{.dims = {2, 6}}}, PadVjpAttributes{{0, 1}, {0, 2}, PadMode::constant}},
                      {{{.dims = {2, 6, 8}}}, PadVjpAttributes{{0, 2, 1}, {0, 1, 3}, PadMode::reflect}},
                      {{{.dims = {2, 6, 5}}}, PadVjpAttributes{{0, 1, 0}, {0, 2, 3}, PadMode::edge}},
                      {{{.dims = {2, 6}}}, PadVjpAttributes{{0, -1}, {0, 2}, PadMode::constant}}});
  return s;
}

}  // namespace

std::vector<OpSchema> slicing_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(slicing(),
                                 rewrite(vjp(y = slice(x), g), slice_vjp(g, like(y), "shape"_a = shape(x)))));
  all.push_back(with_derivatives(slicing_vjp(), rewrite(vjp(y = slice_vjp(), g), slice(g, like(y)))));
  all.push_back(with_derivatives(padding(), rewrite(vjp(y = pad(), g), pad_vjp(g, like(y)))));
  all.push_back(with_derivatives(padding_vjp(), rewrite(vjp(y = pad_vjp(), g), pad(g, like(y)))));
  return all;
}

}  // namespace rulegrad
