#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

/// Start and stop as NumPy clamps them for an axis of `extent`, in the form that `slice` takes.
struct Range {
  std::int64_t start, stop;
};

Range clamped(std::int64_t start, std::int64_t stop, std::int64_t step, std::int64_t extent) {
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;
  const auto clamp = [&](std::int64_t at) { return std::clamp(at < 0 ? at + extent : at, low, high); };
  Range range{clamp(start), clamp(stop)};
  if ((step > 0 && range.stop < range.start) || (step < 0 && range.stop > range.start))
    range.stop = range.start;
  return range;
}

/// No batch is as long: from here on an end means all (exporters of TensorFlow write this one, others the largest integers).
constexpr std::int64_t open_end = 1'000'000'000;

void slice(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  std::vector<Dim> starts, stops;
  if (c.has_attribute("starts")) {
    const Ints s = c.integers("starts", {}, Beyond::clamp), e = c.integers("ends", {}, Beyond::clamp);
    starts.assign(s.begin(), s.end());
    stops.assign(e.begin(), e.end());
  } else {
    starts = c.dims_of(1, "starts", Beyond::clamp);
    stops = c.dims_of(2, "ends", Beyond::clamp);
  }
  Ints axes, steps(starts.size(), 1);
  for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (const auto given = c.attribute_or_input("axes", 3)) axes = *given;
  if (c.has(4)) steps = c.integers_of(4, "steps", Beyond::clamp);
  if (stops.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    c.fail(fmt::format("starts, ends, axes and steps have {}, {}, {} and {} numbers", starts.size(),
                       stops.size(), axes.size(), steps.size()));
  (void)axes_from_front(c, axes, shape.rank());
  SliceAttributes result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = checked_axis(c, axes[i], shape.rank());
    const Dim extent = shape[axis], start = starts[i], stop = stops[i];
    if (steps[i] == 0) c.fail("a step is 0");
    if (extent.batch) {
      const bool all =
          start.is(0) && steps[i] == 1 &&
          (stop == extent ||
           (!stop.batch &&
            stop.factor >= (c.importer().promoted() ? c.importer().samples_in_file() : open_end)));
      if (!all)
        c.fail(
            fmt::format("it takes a part of axis {} of {}, which is the batch", axis, to_string(x.type())));
      continue;
    }
    if (start.batch || stop.batch)
      c.fail(fmt::format("where it cuts axis {} of {} depends on the batch", axis, to_string(x.type())));
    const Range range = clamped(start.factor, stop.factor, steps[i], extent.factor);
    result.axes.push_back(static_cast<std::int64_t>(axis));
    result.starts.push_back(range.start);
    result.stops.push_back(range.stop);
    result.steps.push_back(std::clamp<std::int64_t>(steps[i], -INT32_MAX, INT32_MAX));
  }
  c.result(result.axes.empty() ? x : c.apply("slice", {x}, std::move(result)));
}

void split(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), x.shape().rank());
  const Dim extent = x.shape()[axis];
  if (extent.batch)
    c.fail(fmt::format("it splits axis {} of {}, which is the batch", axis, to_string(x.type())));
  const auto parts = static_cast<std::int64_t>(c.output_count());
  if (parts == 0) c.fail("the node has no output");
  c.ignore({"num_outputs"});
  auto sizes = c.attribute_or_input("split", 1);
  if (!sizes) {
    // Equal parts, the last one smaller if they do not come out.
    const std::int64_t each = (extent.factor + parts - 1) / parts;
    sizes = Ints(static_cast<std::size_t>(parts), each);
    sizes->back() = extent.factor - each * (parts - 1);
  }
  if (static_cast<std::int64_t>(sizes->size()) != parts)
    c.fail(fmt::format("split {} has {} numbers for {} outputs", to_string(*sizes), sizes->size(), parts));
  std::int64_t start = 0;
  for (std::size_t i = 0; i < sizes->size(); ++i) {
    const std::int64_t size = (*sizes)[i];
    if (size < 0 || size > extent.factor - start)
      c.fail(fmt::format("split {} does not add up to the {} elements of axis {}", to_string(*sizes),
                         extent.factor, axis));
    const Ints at{static_cast<std::int64_t>(axis)};
    c.result(c.apply("slice", {x}, SliceAttributes{at, {start}, {start + size}, {1}}), i);
    start += size;
  }
  if (start != extent.factor)
    c.fail(fmt::format("split {} does not add up to the {} elements of axis {}", to_string(*sizes),
                       extent.factor, axis));
}

/// Parts of x before and behind it, as if it went on in a circle; negative numbers crop.
Expr wrapped(const NodeContext& c, Expr x, std::size_t axis, std::int64_t begin, std::int64_t end) {
  const std::int64_t extent = x.shape()[axis].factor;
  if (begin == 0 && end == 0) return x;
  if (x.shape()[axis].batch || extent < 1)
    c.fail(fmt::format("axis {} of {} cannot be wrapped", axis, to_string(x.type())));
  Ints at;
  c.spend_list(std::max<std::int64_t>(0, extent + begin + end));
  for (std::int64_t i = -begin; i < extent + end; ++i) at.push_back(((i % extent) + extent) % extent);
  const Expr index =
      c.graph().constant(Tensor({static_cast<std::int64_t>(at.size())}, std::span<const std::int64_t>(at)));
  return c.apply("gather", {x, index}, AxisAttributes{static_cast<std::int64_t>(axis)});
}

PadMode pad_mode(NodeContext& c) {
  const std::string mode = c.text("mode", "constant");
  if (mode == "wrap") return PadMode::edge;  // done by itself
  if (mode == "constant") return PadMode::constant;
  if (mode == "reflect") return PadMode::reflect;
  if (mode == "edge") return PadMode::edge;
  c.fail(fmt::format("attribute 'mode' is '{}', which is not supported: constant, reflect, edge and wrap are",
                     mode));
}

void pad(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t rank = x.shape().rank();
  const PadMode mode = pad_mode(c);
  const auto pads = c.attribute_or_input("pads", 1);
  if (!pads) c.fail("it does not say by how much");
  double value = c.real("value", 0);
  if (c.has(2)) {
    const Tensor number = c.required_constant(2, "constant_value");
    if (number.size() != 1) c.fail(fmt::format("constant_value has {} elements", number.size()));
    value = number.at(0);
  }
  Ints axes;
  for (std::size_t a = 0; a < rank; ++a) axes.push_back(static_cast<std::int64_t>(a));
  if (c.has(3)) axes = c.integers_of(3, "axes");
  (void)axes_from_front(c, axes, rank);
  if (pads->size() != 2 * axes.size())
    c.fail(fmt::format("pads {} needs two numbers for each of {} axes", to_string(*pads), axes.size()));
  PadAttributes attributes{Ints(rank, 0), Ints(rank, 0), mode, value};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = checked_axis(c, axes[i], rank);
    attributes.begin[axis] = (*pads)[i];
    attributes.end[axis] = (*pads)[i + axes.size()];
  }
  if (c.text("mode", "constant") == "wrap") {
    Expr y = x;
    for (std::size_t axis = 0; axis < rank; ++axis)
      y = wrapped(c, y, axis, attributes.begin[axis], attributes.end[axis]);
    return c.result(y);
  }
  c.result(c.apply("pad", {x}, std::move(attributes)));
}

void gather(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), x.shape().rank());
  Expr index = c.operand(1);
  if (is_constant(index) && !x.shape()[axis].batch) {
    const Tensor& values = *array_of(index);
    for (std::int64_t i = 0; i < values.size(); ++i)
      if (const double at = values.at(i); at < -static_cast<double>(x.shape()[axis].factor) ||
                                          at >= static_cast<double>(x.shape()[axis].factor))
        c.fail(fmt::format("index {} lies outside of axis {} of {}", at, axis, to_string(x.type())));
  }
  if (x.shape()[axis].batch)
    if (const auto within = gather_within_samples(c, x, index, axis)) return c.result(*within);
  c.result(c.apply("gather", {x, index}, AxisAttributes{static_cast<std::int64_t>(axis)}));
}

/// off + (on - off) one_hot, exactly on and off where they are 0 and 1.
void one_hot(NodeContext& c) {
  Expr index = c.operand(0);
  const Ints depth = [&] {
    const Tensor given = c.required_constant(1, "depth").cast(DType::int64);
    return Ints(given.values<std::int64_t>().begin(), given.values<std::int64_t>().end());
  }();
  const Expr values = c.operand(2);
  const auto rank = static_cast<std::int64_t>(index.shape().rank());
  const std::int64_t axis = c.integer("axis", -1);
  if (depth.size() != 1 || depth[0] < 1 || depth[0] > INT32_MAX) c.fail("depth must be one positive number");
  if (axis < -rank - 1 || axis > rank) c.fail(fmt::format("axis {} does not exist in the result", axis));
  if (is_floating(index.dtype())) index = c.apply("cast", {index}, CastAttributes{DType::int64});
  const Expr hot = c.apply("one_hot", {index}, OneHotAttributes{depth[0], DType::int64});
  const auto number = [&](std::int64_t at) {
    return c.apply("gather", {values, c.scalar(static_cast<double>(at), hot)}, AxisAttributes{0});
  };
  Expr y = c.apply("where", {c.apply("equal", {hot, c.scalar(1, hot)}), number(1), number(0)});
  const std::int64_t place = axis < 0 ? axis + rank + 1 : axis;
  Ints perm;
  for (std::int64_t a = 0; a < rank; ++a) perm.push_back(a);
  perm.insert(perm.begin() + place, rank);
  c.result(c.apply("transpose", {y}, TransposeAttributes{perm}));
}

void trilu(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const bool upper = c.integer("upper", 1) != 0;
  const Ints diagonal = c.has(1) ? c.integers_of(1, "k", Beyond::clamp) : Ints{0};
  if (shape.rank() < 2 || shape[shape.rank() - 1].batch || shape[shape.rank() - 2].batch ||
      diagonal.size() != 1)
    c.fail(fmt::format("x must end in two axes of fixed extents but is {}", to_string(x.type())));
  const std::int64_t rows = shape[shape.rank() - 2].factor, columns = shape[shape.rank() - 1].factor;
  if (static_cast<double>(rows) * static_cast<double>(columns) > 0x1p28)
    c.fail(fmt::format("{} is too large for a mask", to_string(x.type())));
  if (rows == 0 || columns == 0) return c.result(x);
  Tensor mask = c.array(DType::boolean, {rows, columns});
  const auto kept = mask.mutable_values<bool>();
  const std::int64_t k = std::clamp(diagonal[0], -rows - 1, columns + 1);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      kept[static_cast<std::size_t>(i * columns + j)] = upper ? j >= i + k : j <= i + k;
  c.result(c.apply("where", {c.graph().constant(mask), x, c.scalar(0, x)}));
}

}  // namespace

void add_slicing(Handlers& h) {
  h["Slice"] = slice;
  h["Split"] = split;
  h["Pad"] = pad;
  h["Gather"] = gather;
  h["OneHot"] = one_hot;
  h["Trilu"] = trilu;
}

}  // namespace rulegrad::io
