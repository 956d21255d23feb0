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

BOOST_HANA_ADAPT_STRUCT(rulegrad::ScatterAttributes, axis, extent);
BOOST_HANA_ADAPT_STRUCT(rulegrad::OneHotAttributes, depth, dtype);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ResizeAttributes, spatial, scales, mode, coordinates, rounding);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ResizeVjpAttributes, spatial, scales, mode, coordinates, rounding,
                        input_spatial);

namespace rulegrad {

template <>
struct enum_words<ResizeMode> {
  static constexpr std::array<std::string_view, 2> words{"nearest", "linear"};
};
template <>
struct enum_words<ResizeCoordinates> {
  static constexpr std::array<std::string_view, 4> words{"half_pixel", "pytorch_half_pixel", "align_corners",
                                                         "asymmetric"};
};
template <>
struct enum_words<NearestRounding> {
  static constexpr std::array<std::string_view, 4> words{"round_prefer_floor", "round_prefer_ceil", "floor",
                                                         "ceil"};
};

template <>
const AttrType& attr_type<ScatterAttributes>() {
  static const AttrType type = derive_attr_type<ScatterAttributes>("scatter");
  return type;
}
template <>
const AttrType& attr_type<OneHotAttributes>() {
  static const AttrType type = derive_attr_type<OneHotAttributes>("one_hot");
  return type;
}
template <>
const AttrType& attr_type<ResizeAttributes>() {
  static const AttrType type = derive_attr_type<ResizeAttributes>("resize");
  return type;
}
template <>
const AttrType& attr_type<ResizeVjpAttributes>() {
  static const AttrType type = derive_attr_type<ResizeVjpAttributes>("resize_vjp");
  return type;
}

namespace {

using infer::Numbers;

/// The batch is in the table beside the indexed axis, or in the indices.
BatchFlow gathered(Expr value, batches::Places operands) {
  const auto axis = static_cast<std::size_t>(value.attributes<AxisAttributes>().axis);
  auto table = operands[0], index = operands[1];
  if (table && index) return batches::mixing(value, operands);
  if (index) {
    index->axis += axis;
    return {false, index};
  }
  if (table->axis == axis) return batches::mixing(value, operands);
  if (table->axis > axis) table->axis = table->axis + value.operand(1).shape().rank() - 1;
  return {false, table};
}

/// It is in g beside the axes that the indices have.
BatchFlow scattered(Expr value, batches::Places operands) {
  const auto axis = static_cast<std::size_t>(value.attributes<ScatterAttributes>().axis);
  const std::size_t taken = value.operand(1).shape().rank();
  auto at = operands[0];
  if (!batches::alone(operands) || (at->axis >= axis && at->axis < axis + taken))
    return batches::mixing(value, operands);
  if (at->axis >= axis) at->axis = at->axis + 1 - taken;
  return {false, at};
}

OpSchema gathering() {
  OpSchema s;
  s.interval = intervals::same;
  s.batch = gathered;
  s.decides = decisions::each({Asks::nothing, Asks::zero});
  s.finite = finite::always;
  s.passes = passing::moved;
  s.name = "gather";
  s.doc =
      "the slices of x at the indices i along `axis`, whose place the axes of i take; negative indices count "
      "from the end";
  s.operands = {{"x"}, {"i", Role::parameter}};
  s.attributes = &attr_type<AxisAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    const std::int64_t axis = attributes.as<AxisAttributes>().axis;
    return AxisAttributes{
        static_cast<std::int64_t>(infer::checked_axis("gather", axis, operands[0].shape.rank()))};
  };
  s.classes = {OpClass::routing, OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Type &x = operands[0], &i = operands[1];
    infer::require("gather", "i", i, Numbers::index);
    const std::size_t axis =
        infer::checked_axis("gather", attributes.as<AxisAttributes>().axis, x.shape.rank());
    if (x.shape[axis].batch)
      infer::fail("gather",
                  fmt::format("axis {} of x {} is the batch extent {}; indices need an axis of fixed extent",
                              axis, to_string(x), to_string(x.shape[axis])));
    std::vector<Dim> dims(x.shape.dims());
    const auto at = dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(at, i.shape.dims().begin(), i.shape.dims().end());
    Shape shape(std::move(dims));
    infer::require_one_batch("gather", shape, fmt::format("x {} and i {}", to_string(x), to_string(i)));
    return Type{x.dtype, std::move(shape)};
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 2, 5);
    return std::vector<OpExample>{
        {{{.dims = {5, 3}}, indices({4}, 0, 4)}, AxisAttributes{0}},
        {{{.dims = {6, 2}}, indices({2, n}, 0, 5)}, AxisAttributes{0}},
        {{{.dims = {2, n, 3}}, indices({}, -2, 1)}, AxisAttributes{1}},
        {{{.dims = {2, 3, 4}}, indices({2, 2}, -4, 3, DType::int32)}, AxisAttributes{2}}};
  };
  return s;
}

OpSchema scattering() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = scattered;
  s.decides = decisions::each({Asks::nothing, Asks::zero});
  s.finite = finite::always;
  s.passes = passing::summed;
  s.name = "scatter_add";
  s.doc = "zeros of `extent` along `axis` with the slices of g added at the indices i: the adjoint of gather";
  s.operands = {{"g"}, {"i", Role::parameter}};
  s.attributes = &attr_type<ScatterAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto scatter = attributes.as<ScatterAttributes>();
    const std::size_t before = operands[0].shape.rank(), taken = operands[1].shape.rank();
    // Too few axes of g are refused by inference, which names them.
    if (before >= taken)
      scatter.axis =
          static_cast<std::int64_t>(infer::checked_axis("scatter_add", scatter.axis, before - taken + 1));
    return Attributes(scatter);
  };
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Type &g = operands[0], &i = operands[1];
    const auto& scatter = attributes.as<ScatterAttributes>();
    infer::require("scatter_add", "g", g, Numbers::floating);
    infer::require("scatter_add", "i", i, Numbers::index);
    const auto mismatch = [&](const std::string& what) {
      infer::fail("scatter_add", fmt::format("the axes of i {} must stand at axis {} of g {}{}", to_string(i),
                                             scatter.axis, to_string(g), what));
    };
    if (g.shape.rank() < i.shape.rank()) mismatch(", which has fewer axes");
    const std::size_t axis =
        infer::checked_axis("scatter_add", scatter.axis, g.shape.rank() - i.shape.rank() + 1);
    for (std::size_t k = 0; k < i.shape.rank(); ++k)
      if (g.shape[axis + k] != i.shape[k])
        mismatch(fmt::format(", but axis {} there is {}", axis + k, to_string(g.shape[axis + k])));
    if (scatter.extent < 1)
      infer::fail("scatter_add", fmt::format("extent is {} but must be 1 or more", scatter.extent));
    std::vector<Dim> dims = g.shape.dims();
    const auto from = dims.begin() + static_cast<std::ptrdiff_t>(axis);
    const auto at = dims.erase(from, from + static_cast<std::ptrdiff_t>(i.shape.rank()));
    dims.insert(at, Dim{scatter.extent});
    return Type{g.dtype, Shape(std::move(dims))};
  };
  s.examples = fixed_examples(
      {{{{.dims = {4, 3}}, indices({4}, 0, 4)}, ScatterAttributes{0, 5}},
       {{{.dims = {2, 3, 2}}, indices({2, 3}, 0, 5)}, ScatterAttributes{0, 6}},
       {{{.dims = {2, 3}}, indices({}, -2, 1)}, ScatterAttributes{1, 2}},
       {{{.dims = {2, 3, 2, 2}}, indices({2, 2}, -4, 3, DType::int32)}, ScatterAttributes{2, 4}}});
  return s;
}

OpSchema hot() {
  OpSchema s;
  s.interval = intervals::within(intervals::unit);
  s.batch = batches::same;
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.name = "one_hot";
  s.doc = "1 at the index i along a new last axis of extent `depth`, 0 elsewhere";
  s.operands = {{"i"}};
  s.attributes = &attr_type<OneHotAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& hot = attributes.as<OneHotAttributes>();
    infer::require("one_hot", "i", operands[0], Numbers::index);
    if (hot.depth < 1) infer::fail("one_hot", fmt::format("depth is {} but must be 1 or more", hot.depth));
    std::vector<Dim> dims = operands[0].shape.dims();
    dims.emplace_back(hot.depth);
    return Type{hot.dtype, Shape(std::move(dims))};
  };
  s.examples = fixed_examples({{{indices({3}, 0, 4)}, OneHotAttributes{5, DType::float64}},
                               {{indices({2, 2}, -3, 2)}, OneHotAttributes{3, DType::float32}},
                               {{indices({}, 0, 1, DType::int32)}, OneHotAttributes{2, DType::int64}}});
  return s;
}

/// The nearest element is taken as it is, and several of them add up on the way back; a share of 0 that an infinity has in
/// a mean makes no number.
template <class A>
NonFinite resized_numbers(Expr value, passing::Given operands, passing::Bounds bounds) {
  return value.attributes<A>().mode == ResizeMode::nearest ? passing::summed(value, operands, bounds)
                                                           : passing::anything(value, operands, bounds);
}

/// Checks what resize and its adjoint share; gives x [N, C, ...] with other spatial extents.
template <class A>
Type resized(const std::string& op, const A& resize, const Type& x, const std::string& name,
             const Ints& spatial, const std::string& attribute) {
  infer::require(op, name, x, Numbers::floating);
  const std::size_t rank = x.shape.rank();
  const std::string what = name + " " + to_string(x);
  if (rank < 3 || rank > 5)
    infer::fail(op, fmt::format("{} must be [N, C, spatial...] with one to three spatial axes", what));
  if (spatial.size() != rank - 2)
    infer::fail(op, fmt::format("{} {} must have an entry for each of the {} spatial axes of {}", attribute,
                                to_string(AttrValue(spatial)), rank - 2, what));
  if (!resize.scales.empty() && resize.scales.size() != rank - 2)
    infer::fail(op,
                fmt::format("scales {} must be empty or have an entry for each of the {} spatial axes of {}",
                            to_string(AttrValue(resize.scales)), rank - 2, what));
  std::vector<Dim> dims = x.shape.dims();
  for (std::size_t axis = 2; axis < rank; ++axis) {
    if (dims[axis].batch)
      infer::fail(op, fmt::format("axis {} of {} is the batch extent {}, which cannot be resized", axis, what,
                                  to_string(dims[axis])));
    if (spatial[axis - 2] < 1)
      infer::fail(op, fmt::format("{} {} must be 1 or more in every entry", attribute,
                                  to_string(AttrValue(spatial))));
    if (!resize.scales.empty() && !(resize.scales[axis - 2] > 0))
      infer::fail(op, fmt::format("scales {} must be positive", to_string(AttrValue(resize.scales))));
    dims[axis] = Dim{spatial[axis - 2]};
  }
  return {x.dtype, Shape(std::move(dims))};
}

OpSchema resizing() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = resized_numbers<ResizeAttributes>;
  s.name = "resize";
  s.doc =
      "x [N, C, spatial...] at other spatial extents: the nearest element or linear between neighbours, as "
      "ONNX Resize";
  s.operands = {{"x"}};
  s.attributes = &attr_type<ResizeAttributes>();
  s.classes = {OpClass::routing, OpClass::linear};
  s.belongs = [](OpClass op_class, const Attributes& attributes) {
    return op_class != OpClass::routing || attributes.as<ResizeAttributes>().mode == ResizeMode::nearest;
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& resize = attributes.as<ResizeAttributes>();
    return resized("resize", resize, operands[0], "x", resize.spatial, "spatial");
  };
  s.examples = fixed_examples(
      {{{{.dims = {1, 2, 3, 4}}},
        ResizeAttributes{
            {6, 8}, {}, ResizeMode::nearest, ResizeCoordinates::asymmetric, NearestRounding::floor}},
       {{{.dims = {2, 1, 3, 4}}},
        ResizeAttributes{{5, 7}, {}, ResizeMode::linear, ResizeCoordinates::half_pixel, {}}},
       {{{.dims = {2, 2, 5}}},
        ResizeAttributes{{3}, {}, ResizeMode::linear, ResizeCoordinates::align_corners, {}}},
       {{{.dims = {1, 1, 4, 3}}},
        ResizeAttributes{{9, 6}, {2.3, 2.0}, ResizeMode::linear, ResizeCoordinates::pytorch_half_pixel, {}}},
       {{{.dims = {1, 1, 2, 3, 2}}},
        ResizeAttributes{{3, 4, 4}, {}, ResizeMode::linear, ResizeCoordinates::half_pixel, {}}}});
  return s;
}

OpSchema resizing_vjp() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = resized_numbers<ResizeVjpAttributes>;
  s.name = "resize_vjp";
  s.doc = "the adjoint of resize: g [N, C, spatial...] to the extents `input_spatial` before it";
  s.operands = {{"g"}};
  s.attributes = &attr_type<ResizeVjpAttributes>();
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& resize = attributes.as<ResizeVjpAttributes>();
    const Type result =
        resized("resize_vjp", resize, operands[0], "g", resize.input_spatial, "input_spatial");
    const Type forward = resized("resize_vjp", resize, result, "the result", resize.spatial, "spatial");
    if (forward != operands[0])
      infer::fail("resize_vjp", fmt::format("g {} must have the spatial extents {} that the resize gave",
                                            to_string(operands[0]), to_string(AttrValue(resize.spatial))));
    return result;
  };
  s.examples = fixed_examples(
      {{{{.dims = {1, 2, 6, 8}}},
        ResizeVjpAttributes{
            {6, 8}, {}, ResizeMode::nearest, ResizeCoordinates::asymmetric, NearestRounding::floor, {3, 4}}},
       {{{.dims = {2, 1, 5, 7}}},
        ResizeVjpAttributes{{5, 7}, {}, ResizeMode::linear, ResizeCoordinates::half_pixel, {}, {3, 4}}},
       {{{.dims = {2, 2, 3}}},
        ResizeVjpAttributes{{3}, {}, ResizeMode::linear, ResizeCoordinates::align_corners, {}, {5}}}});
  return s;
}

}  // namespace

std::vector<OpSchema> indexing_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(
      gathering(), rewrite(vjp(y = gather(x, i), g),
                           scatter_add(g, i, "axis"_a = y["axis"], "extent"_a = extent(x, y["axis"])))));
  all.push_back(with_derivatives(scattering(),
                                 rewrite(vjp(y = scatter_add(_, i), g), gather(g, i, "axis"_a = y["axis"]))));
  all.push_back(hot());
  all.push_back(with_derivatives(
      resizing(), rewrite(vjp(y = resize(x), g), resize_vjp(g, like(y), "input_spatial"_a = spatial(x)))));
  all.push_back(with_derivatives(resizing_vjp(), rewrite(vjp(y = resize_vjp(), g), resize(g, like(y)))));
  return all;
}

}  // namespace rulegrad
