#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/samples.hpp"

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

std::size_t batch_axis(const Shape& shape) {
  std::size_t axis = 0;
  while (axis < shape.rank() && !shape[axis].batch) ++axis;
  return axis;
}

/// Adds what may be nothing.
std::optional<Expr> sum_of(const NodeContext& c, const std::optional<Expr>& a, const std::optional<Expr>& b,
                           const char* op_name) {
  if (!b) return a;
  if (!a) return std::string_view(op_name) == "add" ? *b : c.apply("neg", {*b});
  return c.apply(op_name, {*a, *b});
}

/// A constant whose first axis goes over the samples of the file, in equal steps everywhere.
std::optional<RowIndex> counted_samples(const NodeContext& c, Expr index) {
  const std::int64_t samples = c.importer().promoted() ? c.importer().samples_in_file() : 1;
  if (samples < 2 || !is_constant(index) || index.shape().rank() == 0 || !index.shape()[0].is(samples))
    return std::nullopt;
  const Tensor& value = *array_of(index);
  const std::int64_t size = value.size() / samples;
  if (size == 0) return std::nullopt;
  const double step = value.at(size) - value.at(0);
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t i = 0; i < size; ++i)
      if (value.at(n * size + i) != value.at(i) + step * static_cast<double>(n)) return std::nullopt;
  const Expr first = c.apply("slice", {index}, SliceAttributes{{0}, {0}, {1}, {1}});
  if (std::abs(step) > 0x1p31) return std::nullopt;
  return RowIndex{static_cast<std::int64_t>(step),
                  uniform_value(first) == 0.0 ? std::nullopt : std::optional(first)};
}

/// Index arithmetic is short. Sums of a value and itself, and of those, would be walked twice as often with
/// each.
constexpr int most_steps = 200;

/// Takes `steps` at most, and leaves what is left of them.
std::optional<RowIndex> row_index(const NodeContext& c, Expr index, int& steps);

std::optional<RowIndex> product_of(const NodeContext& c, Expr a, Expr b, int& steps) {
  const auto number = uniform_value(b);
  const auto index = row_index(c, a, steps);
  if (!number || !index) return std::nullopt;
  // Places in a batch are counted in whole steps that 32 bits hold.
  const double scale = static_cast<double>(index->scale) * *number;
  if (!(std::abs(scale) <= 0x1p31) || scale != std::floor(scale)) return std::nullopt;
  RowIndex result{static_cast<std::int64_t>(scale), std::nullopt};
  if (index->rest) result.rest = c.apply("mul", {*index->rest, b});
  return result;
}

}  // namespace

Expr place_in_batch(const NodeContext& c) {
  return c.graph().make(batch_index_schema(), {}, BatchIndexAttributes{Shape{B}});
}

namespace {

std::optional<RowIndex> row_index(const NodeContext& c, Expr index, int& steps) {
  if (--steps < 0) return std::nullopt;
  if (index.is("batch_index")) return RowIndex{1, std::nullopt};
  if (const auto counted = counted_samples(c, index)) return counted;
  if (!c.importer().depends_on_place(index))
    return RowIndex{0, uniform_value(index) == 0.0 ? std::nullopt : std::optional(index)};
  const auto operand = [&](std::size_t i) { return row_index(c, index.operand(i), steps); };
  if (index.is("reshape") || index.is("expand")) {
    auto inner = operand(0);
    if (!inner) return inner;
    if (inner->rest) {
      // The rest need not have all axes of the array; before they change it gets them.
      Expr rest = *inner->rest;
      if (index.is("reshape")) {
        rest = c.apply("expand", {rest}, ShapeAttributes{index.operand(0).shape()});
        inner->rest = c.apply("reshape", {rest}, ShapeAttributes{index.shape()});
      }
    }
    return inner;
  }
  if (index.is("cast")) {
    auto inner = operand(0);
    if (is_floating(index.dtype())) return std::nullopt;
    if (inner && inner->rest) inner->rest = c.apply("cast", {*inner->rest}, index.attributes());
    return inner;
  }
  if (index.is("add") || index.is("sub")) {
    const auto a = operand(0), b = operand(1);
    if (!a || !b) return std::nullopt;
    const bool plus = index.is("add");
    const std::int64_t scale = plus ? a->scale + b->scale : a->scale - b->scale;
    if (std::abs(scale) > std::int64_t{1} << 31) return std::nullopt;
    return RowIndex{scale, sum_of(c, a->rest, b->rest, plus ? "add" : "sub")};
  }
  if (index.is("mul")) {
    const auto result = product_of(c, index.operand(0), index.operand(1), steps);
    return result ? result : product_of(c, index.operand(1), index.operand(0), steps);
  }
  return std::nullopt;
}

}  // namespace

std::optional<RowIndex> row_index(const NodeContext& c, Expr index) {
  int steps = most_steps;
  return row_index(c, index, steps);
}

Expr moved_axis(const NodeContext& c, Expr x, std::size_t from, std::size_t to) {
  Ints perm;
  for (std::size_t axis = 0; axis < x.shape().rank(); ++axis)
    if (axis != from) perm.push_back(static_cast<std::int64_t>(axis));
  perm.insert(perm.begin() + static_cast<std::ptrdiff_t>(to), static_cast<std::int64_t>(from));
  if (std::is_sorted(perm.begin(), perm.end())) return x;
  return c.apply("transpose", {x}, TransposeAttributes{perm});
}

/// rows [B, E, rest...] at `rest` of an index of these extents, whose axis `place` is the batch: the extents,
/// then rest.
static Expr at_rows(const NodeContext& c, Expr rows, const RowIndex& index, const Shape& extents,
                    std::size_t place) {
  std::vector<Dim> alone = extents.dims();
  alone.erase(alone.begin() + static_cast<std::ptrdiff_t>(place));
  const Expr at = index.rest ? *index.rest : c.graph().scalar(0, DType::int64);
  Expr y;
  if (!at.shape().has_batch()) {
    std::vector<Dim> wide = extents.dims();
    wide[place] = Dim{1};
    y = c.apply("gather", {rows, reshaped(c, c.apply("expand", {at}, ShapeAttributes{Shape(wide)}), alone)},
                AxisAttributes{1});
  } else {
    const Expr whole = moved_axis(c, c.apply("expand", {at}, ShapeAttributes{extents}), place, 0);
    y = c.apply("gather_rows", {rows, whole}, GatherRowsAttributes{1});
  }
  return moved_axis(c, y, 0, place);
}

std::optional<Expr> gather_within_samples(const NodeContext& c, Expr x, Expr index, std::size_t axis) {
  const Dim extent = x.shape()[axis];
  auto rows = row_index(c, index);
  Shape extents = index.shape();
  std::size_t place = batch_axis(extents);
  // A file that knows one sample writes its place as 0; its first axis is where the batch is then.
  const std::int64_t samples = c.importer().samples_in_file();
  const bool one_sample = c.importer().promoted() && rows &&
                          rows->scale == (samples == 1 ? 0 : extent.factor) && is_constant(index) &&
                          extents.rank() > 0 && extents[0].is(samples);
  if (one_sample) {
    std::vector<Dim> dims = extents.dims();
    dims[0] = B;
    extents = Shape(std::move(dims));
    place = 0;
  } else if (!rows || rows->scale != extent.factor || place == extents.rank()) {
    return std::nullopt;
  }
  std::vector<Dim> split = x.shape().dims();
  split[axis] = B;
  split.insert(split.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim{extent.factor});
  // [B, E, what stood before the axis, what stands behind]
  Expr front = moved_axis(c, reshaped(c, x, std::move(split)), axis, 0);
  front = moved_axis(c, front, axis + 1, 1);
  Expr y = at_rows(c, front, *rows, extents, place);
  for (std::size_t before = 0; before < axis; ++before) y = moved_axis(c, y, extents.rank() + before, before);
  return y;
}

namespace {

/// The numbers that stand side by side in the last axis of an index, each an array of the other axes.
std::vector<Expr> components_of(const NodeContext& c, Expr index) {
  const Shape& shape = index.shape();
  const std::size_t last = shape.rank() - 1;
  const std::vector<Dim> dims(shape.dims().begin(), shape.dims().begin() + static_cast<std::ptrdiff_t>(last));
  std::vector<Expr> parts;
  if (index.is("concat") && index.attributes<AxisAttributes>().axis == static_cast<std::int64_t>(last) &&
      std::all_of(index.operands().begin(), index.operands().end(),
                  [&](Expr part) { return part.shape()[last].is(1); })) {
    for (const Expr part : index.operands()) parts.push_back(reshaped(c, part, dims));
    return parts;
  }
  for (std::int64_t k = 0; k < shape[last].factor; ++k)
    parts.push_back(reshaped(
        c, c.apply("slice", {index}, SliceAttributes{{static_cast<std::int64_t>(last)}, {k}, {k + 1}, {1}}),
        dims));
  return parts;
}

/// Negative indices count from the end.
Expr from_front(const NodeContext& c, Expr index, std::int64_t extent) {
  if (is_constant(index)) {
    const Tensor& values = *array_of(index);
    bool negative = false;
    for (std::int64_t i = 0; i < values.size(); ++i) {
      const double at = values.at(i);
      if (at < -static_cast<double>(extent) || at >= static_cast<double>(extent))
        c.fail(fmt::format("index {} lies outside of an axis of {} elements", at, extent));
      negative = negative || at < 0;
    }
    if (!negative) return index;
  }
  const Expr below = c.apply("less", {index, c.scalar(0, index)});
  return c.apply("where",
                 {below, c.apply("add", {index, c.scalar(static_cast<double>(extent), index)}), index});
}

}  // namespace

Pointed pointed_at(NodeContext& c, Expr x, Expr index, std::int64_t batch_dims) {
  const auto rank = static_cast<std::int64_t>(x.shape().rank()),
             depth = static_cast<std::int64_t>(index.shape().rank());
  if (rank == 0 || depth == 0 || index.shape()[static_cast<std::size_t>(depth - 1)].batch)
    c.fail(
        fmt::format("data {} and indices {} must have axes", to_string(x.type()), to_string(index.type())));
  const std::int64_t count = index.shape()[static_cast<std::size_t>(depth - 1)].factor;
  if (batch_dims < 0 || batch_dims >= std::min(rank, depth) || count < 1 || count > rank - batch_dims)
    c.fail(fmt::format("{} indices with batch_dims {} cannot point into {}", count, batch_dims,
                       to_string(x.type())));
  std::vector<Expr> parts = components_of(c, index);
  Pointed result;
  result.shared = static_cast<std::size_t>(batch_dims);
  std::size_t first = result.shared;
  Shape extents = parts[0].shape();
  if (batch_dims == 0 && x.shape()[0].batch && x.shape()[0].factor == 1) {
    const auto place = row_index(c, parts[0]);
    const bool own = place && place->scale == 1 && !place->rest;
    const std::int64_t samples = c.importer().samples_in_file();
    const bool one_sample = c.importer().promoted() && place && place->scale == (samples == 1 ? 0 : 1) &&
                            !place->rest && extents.rank() > 0 && extents[0].is(samples);
    if (!own && !one_sample)
      c.fail(fmt::format("it picks entries of {}, whose first axis is the batch, by number",
                         to_string(x.type())));
    std::vector<Dim> dims = extents.dims();
    if (one_sample) dims[0] = B;
    extents = Shape(std::move(dims));
    const std::size_t at = batch_axis(extents);
    if (at == extents.rank()) c.fail("the place in the batch is not an axis of the indices");
    if (at > 0) result.batch_place = at;
    result.shared = first = 1;
    parts.erase(parts.begin());
  }
  std::int64_t joint = 1;
  std::optional<Expr> at;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Dim extent = x.shape()[first + k];
    if (extent.batch)
      c.fail(fmt::format("it picks entries along axis {} of {}, which is the batch", first + k,
                         to_string(x.type())));
    if (c.importer().depends_on_place(parts[k])) c.fail("an index depends on the place in the batch");
    Expr part = from_front(c, parts[k], extent.factor);
    if (c.importer().promoted() && result.shared == 1 && c.importer().samples_in_file() > 1)
      if (const auto once = c.importer().same_for_all(part, 0)) part = *once;
    at = at ? c.apply("add", {c.apply("mul", {*at, c.scalar(static_cast<double>(extent.factor), *at)}), part})
            : part;
    joint *= extent.factor;
  }
  std::vector<Dim> dims(x.shape().dims().begin(),
                        x.shape().dims().begin() + static_cast<std::ptrdiff_t>(first));
  dims.emplace_back(joint);
  dims.insert(dims.end(), x.shape().dims().begin() + static_cast<std::ptrdiff_t>(first + parts.size()),
              x.shape().dims().end());
  result.x = reshaped(c, x, std::move(dims));
  result.at = c.apply("expand", {at ? *at : c.graph().scalar(0, DType::int64)}, ShapeAttributes{extents});
  if (batch_dims > 0) {
    // An extent of 1 beside the batch came from a file that knows one sample.
    std::vector<Dim> wide = result.at.shape().dims();
    for (std::size_t axis = 0; axis < result.shared; ++axis)
      if (result.x.shape()[axis].batch && wide[axis].is(1)) wide[axis] = result.x.shape()[axis];
    result.at = c.apply("expand", {result.at}, ShapeAttributes{Shape(wide)});
  }
  if (result.batch_place) result.at = moved_axis(c, result.at, *result.batch_place, 0);
  return result;
}

}  // namespace rulegrad::io
