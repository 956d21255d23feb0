#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/with_derivatives.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::GatherRowsAttributes, batch);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ScatterRowsAttributes, batch, extent);
BOOST_HANA_ADAPT_STRUCT(rulegrad::CumsumAttributes, axis, exclusive, reverse);
BOOST_HANA_ADAPT_STRUCT(rulegrad::TopAttributes, axis, count, smallest);

namespace rulegrad {

template <>
const AttrType& attr_type<GatherRowsAttributes>() {
  static const AttrType type = derive_attr_type<GatherRowsAttributes>("gather_rows");
  return type;
}
template <>
const AttrType& attr_type<ScatterRowsAttributes>() {
  static const AttrType type = derive_attr_type<ScatterRowsAttributes>("scatter_rows");
  return type;
}
template <>
const AttrType& attr_type<CumsumAttributes>() {
  static const AttrType type = derive_attr_type<CumsumAttributes>("cumsum");
  return type;
}
template <>
const AttrType& attr_type<TopAttributes>() {
  static const AttrType type = derive_attr_type<TopAttributes>("top_index");
  return type;
}

namespace {

using infer::Numbers;

/// The number of axes that both operands begin with.
std::size_t shared_axes(const std::string& op, std::int64_t batch, const std::string& name, const Type& x,
                        const Type& i) {
  if (batch < 0 || batch > static_cast<std::int64_t>(std::min(x.shape.rank(), i.shape.rank())))
    infer::fail(op, fmt::format("{} {} and i {} do not both have {} axes to share", name, to_string(x),
                                to_string(i), batch));
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(batch); ++axis)
    if (x.shape[axis] != i.shape[axis])
      infer::fail(op, fmt::format("the first {} axes of {} {} and i {} must be the same", batch, name,
                                  to_string(x), to_string(i)));
  return static_cast<std::size_t>(batch);
}

/// Both operands begin with the shared axes; the batch must be one of them.
BatchFlow by_rows(Expr value, batches::Places operands, std::int64_t shared) {
  std::optional<BatchPlace> result;
  for (const auto& at : operands) {
    if (!at) continue;
    if (static_cast<std::int64_t>(at->axis) >= shared || (result && *result != *at))
      return batches::mixing(value, operands);
    result = at;
  }
  return {false, result};
}

OpSchema row_gathering() {
  OpSchema s;
  s.interval = intervals::same;
  s.batch = [](Expr value, batches::Places operands) {
    return by_rows(value, operands, value.attributes<GatherRowsAttributes>().batch);
  };
  s.decides = decisions::each({Asks::nothing, Asks::zero});
  s.finite = finite::always;
  s.passes = passing::moved;
  s.name = "gather_rows";
  s.doc =
      "the slices of x [p..., E, q...] at the indices i [p..., k...], for each p by itself: [p..., k..., "
      "q...]; "
      "p are the first `batch` axes, negative indices count from the end";
  s.operands = {{"x"}, {"i", Role::parameter}};
  s.attributes = &attr_type<GatherRowsAttributes>();
  s.classes = {OpClass::routing, OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Type &x = operands[0], &i = operands[1];
    infer::require("gather_rows", "i", i, Numbers::index);
    const std::size_t shared =
        shared_axes("gather_rows", attributes.as<GatherRowsAttributes>().batch, "x", x, i);
    if (shared == x.shape.rank())
      infer::fail("gather_rows",
                  fmt::format("x {} has no axis behind the {} shared ones to look up", to_string(x), shared));
    if (x.shape[shared].batch)
      infer::fail("gather_rows",
                  fmt::format("axis {} of x {} is the batch extent {}; indices need an axis of fixed extent",
                              shared, to_string(x), to_string(x.shape[shared])));
    std::vector<Dim> dims = i.shape.dims();
    dims.insert(dims.end(), x.shape.dims().begin() + static_cast<std::ptrdiff_t>(shared) + 1,
                x.shape.dims().end());
    Shape shape(std::move(dims));
    infer::require_one_batch("gather_rows", shape, fmt::format("x {} and i {}", to_string(x), to_string(i)));
    return Type{x.dtype, std::move(shape)};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    if (attributes.as<GatherRowsAttributes>().batch != 0) return std::nullopt;
    return operands[0].graph().apply(op("gather"), {operands[0], operands[1]}, AxisAttributes{0});
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 2, 5);
    return std::vector<OpExample>{
        {{{.dims = {2, 5, 3}}, indices({2, 4}, 0, 4)}, GatherRowsAttributes{1}},
        {{{.dims = {3, n}}, indices({3}, -2, 1)}, GatherRowsAttributes{1}},
        {{{.dims = {2, 3, 4, 2}}, indices({2, 3, 2, 2}, -4, 3, DType::int32)}, GatherRowsAttributes{2}},
        {{{.dims = {2, 3}}, indices({n}, 0, 1)}, GatherRowsAttributes{0}}};
  };
  return s;
}

OpSchema row_scattering() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = [](Expr value, batches::Places operands) {
    return by_rows(value, operands, value.attributes<ScatterRowsAttributes>().batch);
  };
  s.decides = decisions::each({Asks::nothing, Asks::zero});
  s.finite = finite::always;
  s.passes = passing::summed;
  s.name = "scatter_rows";
  s.doc =
      "zeros [p..., `extent`, q...] with the slices of g [p..., k..., q...] added at the indices i [p..., "
      "k...], for "
      "each p by itself: the adjoint of gather_rows";
  s.operands = {{"g"}, {"i", Role::parameter}};
  s.attributes = &attr_type<ScatterRowsAttributes>();
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const Type &g = operands[0], &i = operands[1];
    const auto& scatter = attributes.as<ScatterRowsAttributes>();
    infer::require("scatter_rows", "g", g, Numbers::floating);
    infer::require("scatter_rows", "i", i, Numbers::index);
    const std::size_t shared = shared_axes("scatter_rows", scatter.batch, "g", g, i);
    if (g.shape.rank() < i.shape.rank() ||
        !std::equal(i.shape.dims().begin(), i.shape.dims().end(), g.shape.dims().begin()))
      infer::fail("scatter_rows",
                  fmt::format("g {} must begin with the axes of i {}", to_string(g), to_string(i)));
    if (scatter.extent < 1)
      infer::fail("scatter_rows", fmt::format("extent is {} but must be 1 or more", scatter.extent));
    std::vector<Dim> dims(g.shape.dims().begin(),
                          g.shape.dims().begin() + static_cast<std::ptrdiff_t>(shared));
    for (std::size_t axis = shared; axis < i.shape.rank(); ++axis)
      if (i.shape[axis].batch)
        infer::fail("scatter_rows",
                    fmt::format("axis {} of i {} is the batch extent {}, which would be added up", axis,
                                to_string(i), to_string(i.shape[axis])));
    dims.emplace_back(scatter.extent);
    dims.insert(dims.end(), g.shape.dims().begin() + static_cast<std::ptrdiff_t>(i.shape.rank()),
                g.shape.dims().end());
    return Type{g.dtype, Shape(std::move(dims))};
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 4, 3}}, indices({2, 4}, 0, 4)}, ScatterRowsAttributes{1, 5}},
       {{{.dims = {3}}, indices({3}, -2, 1)}, ScatterRowsAttributes{1, 2}},
       {{{.dims = {2, 3, 2, 2, 2}}, indices({2, 3, 2, 2}, -4, 3, DType::int32)}, ScatterRowsAttributes{2, 4}},
       {{{.dims = {4, 3}}, indices({4}, 0, 1)}, ScatterRowsAttributes{0, 2}}});
  return s;
}

OpSchema cumulation() {
  OpSchema s;
  s.interval = intervals::sums_of_first;
  s.batch = [](Expr value, batches::Places operands) {
    return batches::but_along(value, operands, value.attributes<CumsumAttributes>().axis);
  };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.name = "cumsum";
  s.doc =
      "sums along `axis` of everything up to an element, itself left out if `exclusive`; from behind if "
      "`reverse`";
  s.operands = {{"x"}};
  s.attributes = &attr_type<CumsumAttributes>();
  s.classes = {OpClass::linear};
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto cumsum = attributes.as<CumsumAttributes>();
    cumsum.axis =
        static_cast<std::int64_t>(infer::checked_axis("cumsum", cumsum.axis, operands[0].shape.rank()));
    return Attributes(cumsum);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("cumsum", "x", operands[0], Numbers::arithmetic);
    (void)infer::checked_axis("cumsum", attributes.as<CumsumAttributes>().axis, operands[0].shape.rank());
    return operands[0];
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 2, 5);
    return std::vector<OpExample>{
        {{{.dims = {2, 5}}}, CumsumAttributes{1, false, false}},
        {{{.dims = {2, n, 3}}}, CumsumAttributes{1, true, false}},
        {{{.dims = {2, 3, n}}}, CumsumAttributes{2, false, true}},
        {{{.dims = {4, 2}}}, CumsumAttributes{0, true, true}},
        {{{.dims = {2, 4}, .low = -3, .high = 3, .dtype = DType::int64}}, CumsumAttributes{1, false, false}}};
  };
  return s;
}

OpSchema sorting() {
  OpSchema s;
  s.interval = intervals::anything;
  s.batch = [](Expr value, batches::Places operands) {
    return batches::but_along(value, operands, value.attributes<TopAttributes>().axis);
  };
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.name = "top_index";
  s.doc =
      "the indices of the `count` largest (`smallest`: smallest) along `axis`, the best first, among equals "
      "the one "
      "in front";
  s.operands = {{"x"}};
  s.attributes = &attr_type<TopAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    auto top = attributes.as<TopAttributes>();
    top.axis =
        static_cast<std::int64_t>(infer::checked_axis("top_index", top.axis, operands[0].shape.rank()));
    return Attributes(top);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& top = attributes.as<TopAttributes>();
    const Type& x = operands[0];
    infer::require("top_index", "x", x, Numbers::arithmetic);
    const std::size_t axis = infer::checked_axis("top_index", top.axis, x.shape.rank());
    std::vector<Dim> dims = x.shape.dims();
    if (dims[axis].batch || top.count < 0 || top.count > dims[axis].factor)
      infer::fail("top_index", fmt::format("there are no {} largest along axis {} of x {}", top.count, axis,
                                           to_string(x)));
    dims[axis] = Dim{top.count};
    return Type{DType::int64, Shape(std::move(dims))};
  };
  s.examples = [](RandomEngine& random) {
    const std::int64_t n = random_extent(random, 2, 5);
    return std::vector<OpExample>{
        {{{.dims = {2, 5}, .gap = 0.05}}, TopAttributes{1, 3, false}},
        {{{.dims = {3, n, 2}, .gap = 0.04}}, TopAttributes{1, 2, true}},
        {{{.dims = {4, n}, .low = -2, .high = 2, .dtype = DType::int64}}, TopAttributes{0, 4, false}}};
  };
  return s;
}

}  // namespace

std::vector<OpSchema> gathering_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(
      row_gathering(),
      rewrite(vjp(y = op<"gather_rows">(x, i), g),
              op<"scatter_rows">(g, i, "batch"_a = y["batch"], "extent"_a = extent(x, y["batch"])))));
  all.push_back(with_derivatives(row_scattering(), rewrite(vjp(y = op<"scatter_rows">(_, i), g),
                                                           op<"gather_rows">(g, i, "batch"_a = y["batch"]))));
  all.push_back(with_derivatives(cumulation(),
                                 rewrite(vjp(y = op<"cumsum">(x), g),
                                         op<"cumsum">(g, "axis"_a = y["axis"], "exclusive"_a = y["exclusive"],
                                                      "reverse"_a = 1 - y["reverse"]))));
  all.push_back(sorting());
  return all;
}

}  // namespace rulegrad
