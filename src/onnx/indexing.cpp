#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/index_attributes.hpp"

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

/// rows [p..., E, rest...] at [p..., q...]; what is the same for every sample is looked up once for all.
Expr looked_up(const NodeContext& c, Expr x, Expr at, std::size_t shared) {
  if (shared == 1 && at.is("expand") && !at.operand(0).shape().has_batch() && x.shape()[0].batch) {
    std::vector<Dim> dims = at.shape().dims();
    const Expr one = at.operand(0);
    const bool own_axis = one.shape().rank() < dims.size() || one.shape()[0].is(1);
    if (own_axis) {
      dims[0] = Dim{1};
      const Expr alone = c.apply("expand", {one}, ShapeAttributes{Shape(dims)});
      dims.erase(dims.begin());
      return c.apply("gather", {x, reshaped(c, alone, dims)}, AxisAttributes{1});
    }
  }
  return c.apply("gather_rows", {x, at}, GatherRowsAttributes{static_cast<std::int64_t>(shared)});
}

void gather_nd(NodeContext& c) {
  const Pointed pointed = pointed_at(c, c.operand(0), c.operand(1), c.integer("batch_dims", 0));
  const Expr y = looked_up(c, pointed.x, pointed.at, pointed.shared);
  c.result(pointed.batch_place ? moved_axis(c, y, 0, *pointed.batch_place) : y);
}

/// x and index with the axis last and the same extents before it: x gives what the index does not reach, and
/// extents of 1 beside a batch repeat.
struct Lines {
  Expr x, index;
  std::size_t axis;
};
Lines lines_of(NodeContext& c, Expr x, Expr index) {
  const std::size_t rank = x.shape().rank();
  if (rank == 0 || index.shape().rank() != rank)
    c.fail(fmt::format("data {} and indices {} must have as many axes", to_string(x.type()),
                       to_string(index.type())));
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), rank);
  if (x.shape()[axis].batch)
    c.fail(
        fmt::format("it picks entries along axis {} of {}, which is the batch", axis, to_string(x.type())));
  return {x, index, axis};
}

/// Both with equal extents along all axes but `axis`.
void align(NodeContext& c, Lines& lines, bool cut) {
  SliceAttributes slice;
  std::vector<Dim> wide_x = lines.x.shape().dims(), wide_index = lines.index.shape().dims();
  for (std::size_t a = 0; a < wide_x.size(); ++a) {
    if (a == lines.axis || wide_x[a] == wide_index[a]) continue;
    if (wide_index[a].is(1) && wide_x[a].batch)
      wide_index[a] = wide_x[a];
    else if (wide_x[a].is(1) && wide_index[a].batch)
      wide_x[a] = wide_index[a];
    else if (!wide_x[a].batch && !wide_index[a].batch && wide_index[a].factor < wide_x[a].factor) {
      slice.axes.push_back(static_cast<std::int64_t>(a));
      slice.starts.push_back(0);
      slice.stops.push_back(wide_index[a].factor);
      slice.steps.push_back(1);
    } else {
      c.fail(fmt::format("indices {} reach beyond {}", to_string(lines.index.type()),
                         to_string(lines.x.type())));
    }
  }
  lines.x = c.apply("expand", {lines.x}, ShapeAttributes{Shape(wide_x)});
  lines.index = c.apply("expand", {lines.index}, ShapeAttributes{Shape(wide_index)});
  if (cut && !slice.axes.empty()) lines.x = c.apply("slice", {lines.x}, slice);
}

void gather_elements(NodeContext& c) {
  Lines lines = lines_of(c, c.operand(0), c.operand(1));
  align(c, lines, true);
  const std::size_t last = lines.x.shape().rank() - 1;
  const Expr y = c.apply(
      "gather_rows", {moved_axis(c, lines.x, lines.axis, last), moved_axis(c, lines.index, lines.axis, last)},
      GatherRowsAttributes{static_cast<std::int64_t>(last)});
  c.result(moved_axis(c, y, last, lines.axis));
}

Scatter reduction_of(NodeContext& c) {
  const std::string word = c.text("reduction", "none");
  const std::map<std::string, Scatter> known{{"none", Scatter::set},
                                             {"add", Scatter::add},
                                             {"mul", Scatter::mul},
                                             {"max", Scatter::max},
                                             {"min", Scatter::min}};
  const auto found = known.find(word);
  if (found == known.end())
    c.fail(fmt::format("attribute 'reduction' is '{}' but must be none, add, mul, max or min", word));
  return found->second;
}

void scatter_elements(NodeContext& c) {
  const Expr data = c.operand(0);
  Lines lines = lines_of(c, data, c.operand(1));
  Expr updates = c.operand(2);
  align(c, lines, true);
  if (updates.shape() != lines.index.shape())
    updates = c.apply("expand", {updates}, ShapeAttributes{lines.index.shape()});
  const std::size_t last = lines.x.shape().rank() - 1;
  const auto moved = [&](Expr e) { return moved_axis(c, e, lines.axis, last); };
  Expr y = moved_axis(
      c, scattered_into(c, moved(lines.x), moved(lines.index), moved(updates), last, reduction_of(c)), last,
      lines.axis);
  // Beside what the indices reach, data stay.
  for (std::size_t a = 0; a < data.shape().rank(); ++a) {
    const Dim whole = data.shape()[a], part = y.shape()[a];
    if (whole == part || whole.batch || part.batch) continue;
    SliceAttributes rest{{static_cast<std::int64_t>(a)}, {part.factor}, {whole.factor}, {1}};
    for (std::size_t b = a + 1; b < data.shape().rank(); ++b)
      if (y.shape()[b] != data.shape()[b]) {
        rest.axes.push_back(static_cast<std::int64_t>(b));
        rest.starts.push_back(0);
        rest.stops.push_back(y.shape()[b].factor);
        rest.steps.push_back(1);
      }
    y = c.apply("concat", {y, c.apply("slice", {data}, rest)}, AxisAttributes{static_cast<std::int64_t>(a)});
  }
  c.result(y);
}

void scatter_nd(NodeContext& c) {
  const Expr data = c.operand(0), index = c.operand(1);
  const Pointed pointed = pointed_at(c, data, index, 0);
  Expr updates = c.operand(2);
  // Updates stand under the axes of the indices and then the rest of data.
  std::vector<Dim> dims = pointed.at.shape().dims();
  if (pointed.batch_place) updates = moved_axis(c, updates, *pointed.batch_place, 0);
  dims.insert(dims.end(), pointed.x.shape().dims().begin() + static_cast<std::ptrdiff_t>(pointed.shared) + 1,
              pointed.x.shape().dims().end());
  updates = c.apply("expand", {updates}, ShapeAttributes{Shape(dims)});
  const Expr y = scattered_into(c, pointed.x, pointed.at, updates, pointed.shared, reduction_of(c));
  c.result(reshaped(c, y, data.shape().dims()));
}

void cumulative_sum(NodeContext& c) {
  Expr x = c.operand(0);
  const Ints axes = c.integers_of(1, "axis");
  if (axes.size() != 1) c.fail("axis must be one number");
  const std::size_t axis = checked_axis(c, axes[0], x.shape().rank());
  c.keep_apart(x.shape()[axis].batch, "it adds up over the batch");
  const DType dtype = x.dtype();
  const bool small = dtype == DType::uint8 || dtype == DType::int8 || dtype == DType::boolean;
  if (small) x = c.apply("cast", {x}, CastAttributes{DType::int32});
  const Expr y = c.apply("cumsum", {x},
                         CumsumAttributes{static_cast<std::int64_t>(axis), c.integer("exclusive", 0) != 0,
                                          c.integer("reverse", 0) != 0});
  c.result(c.apply("cast", {y}, CastAttributes{dtype}));
}

/// Values are looked up by the indices, so that they carry gradients; unsorted ones come sorted too.
void top_k(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"sorted"});
  const std::size_t axis = checked_axis(c, c.integer("axis", -1), x.shape().rank());
  const Ints count = c.has_attribute("k") ? Ints{c.integer("k", 0)} : c.integers_of(1, "k");
  if (count.size() != 1) c.fail("k must be one number");
  const bool smallest = c.integer("largest", 1) == 0;
  const bool small = x.dtype() == DType::uint8 || x.dtype() == DType::int8;
  const Expr values = small ? c.apply("cast", {x}, CastAttributes{DType::int32}) : x;
  const Expr index =
      c.apply("top_index", {values}, TopAttributes{static_cast<std::int64_t>(axis), count[0], smallest});
  const std::size_t last = x.shape().rank() - 1;
  const Expr best = c.apply("gather_rows", {moved_axis(c, x, axis, last), moved_axis(c, index, axis, last)},
                            GatherRowsAttributes{static_cast<std::int64_t>(last)});
  c.result(moved_axis(c, best, last, axis));
  c.result(index, 1);
}

}  // namespace

void add_indexing(Handlers& h) {
  h["GatherND"] = gather_nd;
  h["GatherElements"] = gather_elements;
  h["ScatterElements"] = h["Scatter"] = scatter_elements;
  h["ScatterND"] = scatter_nd;
  h["CumSum"] = cumulative_sum;
  h["TopK"] = top_k;
}

}  // namespace rulegrad::io
