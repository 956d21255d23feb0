#include <algorithm>
#include <fmt/format.h>

#include "onnx/node_context.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

void reshape(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"consumed_inputs"});
  const bool allow_zero = c.integer("allowzero", 0) != 0;
  std::vector<Dim> target;
  if (c.has_attribute("shape")) {
    const Ints list = c.integers("shape");
    target.assign(list.begin(), list.end());
  } else {
    target = c.dims_of(1, "the shape");
  }
  c.result(
      c.apply("reshape", {x}, ShapeAttributes{resolved_shape(c, x.shape(), std::move(target), allow_zero)}));
}

void flatten(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const auto rank = static_cast<std::int64_t>(shape.rank());
  std::int64_t axis = c.integer("axis", 1);
  if (axis < -rank || axis > rank)
    c.fail(fmt::format("axis {} does not exist in {}", axis, to_string(x.type())));
  if (axis < 0) axis += rank;
  c.keep_apart(axis == 0 && shape.has_batch(), "it puts the batch among the features");
  Dim outer{1}, inner{1};
  for (std::int64_t a = 0; a < rank; ++a) {
    Dim& side = a < axis ? outer : inner;
    const auto next = multiplied(side, shape[static_cast<std::size_t>(a)]);
    if (!next) c.fail(fmt::format("{} cannot be flattened", to_string(x.type())));
    side = *next;
  }
  c.result(reshaped(c, x, {outer, inner}));
}

void transpose(NodeContext& c) {
  const Expr x = c.operand(0);
  c.result(c.apply("transpose", {x}, TransposeAttributes{c.integers("perm")}));
}

/// Extents of 1 beside a batch came from a file that knows one sample only: they repeat.
void concat(NodeContext& c) {
  std::vector<Expr> parts;
  for (std::size_t i = 0; i < c.input_count(); ++i)
    if (const Expr part = c.operand(i);
        part.shape().rank() == 0 || !part.shape().count().is(0) || c.input_count() == 1)
      parts.push_back(part);
  if (parts.empty() && c.input_count() > 0) parts.push_back(c.operand(0));
  if (parts.empty()) c.fail("there is nothing to join");
  const std::size_t axis = checked_axis(c, c.integer("axis", 1), parts[0].shape().rank());
  for (std::size_t a = 0; a < parts[0].shape().rank(); ++a) {
    const auto batched = std::find_if(parts.begin(), parts.end(), [&](Expr part) {
      return a < part.shape().rank() && part.shape()[a].batch;
    });
    if (a == axis || batched == parts.end()) continue;
    const Dim extent = batched->shape()[a];
    for (Expr& part : parts) {
      if (const auto once = c.importer().promoted() && c.is_static(part) ? c.importer().same_for_all(part, a)
                                                                         : std::nullopt)
        part = *once;
      if (a >= part.shape().rank() || !part.shape()[a].is(1) || extent.factor != 1) continue;
      std::vector<Dim> dims = part.shape().dims();
      dims[a] = extent;
      part = c.apply("expand", {part}, ShapeAttributes{Shape(std::move(dims))});
    }
  }
  c.result(c.apply("concat", parts, AxisAttributes{static_cast<std::int64_t>(axis)}));
}

void squeeze(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const auto asked = c.attribute_or_input("axes", 1);
  if (!asked) c.keep_apart(shape.has_batch(), "it drops whatever extent is 1");
  const Ints axes = asked ? axes_from_front(c, *asked, shape.rank()) : Ints{};
  std::vector<Dim> dims;
  for (std::size_t a = 0; a < shape.rank(); ++a) {
    const bool named = std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(a));
    if (named && !shape[a].is(1))
      c.fail(fmt::format("axis {} of {} is not 1 and cannot be dropped", a, to_string(x.type())));
    if (!named && !(!asked && shape[a].is(1))) dims.push_back(shape[a]);
  }
  c.result(reshaped(c, x, std::move(dims)));
}

void unsqueeze(NodeContext& c) {
  const Expr x = c.operand(0);
  const auto asked = c.attribute_or_input("axes", 1);
  if (!asked) c.fail("it does not say which axes to add");
  const Ints axes = axes_from_front(c, *asked, x.shape().rank() + asked->size());
  std::vector<Dim> dims = x.shape().dims();
  for (const std::int64_t axis : axes) dims.insert(dims.begin() + axis, Dim{1});
  c.result(reshaped(c, x, std::move(dims)));
}

void expand(NodeContext& c) {
  const Expr x = c.operand(0);
  std::vector<Dim> extents = c.dims_of(1, "the shape");
  // Beside the batch, the number of samples of the file is the batch.
  for (std::size_t axis = 0; c.importer().promoted() && axis < std::min(extents.size(), x.shape().rank());
       ++axis) {
    const Dim own = x.shape()[x.shape().rank() - 1 - axis];
    if (Dim& wanted = extents[extents.size() - 1 - axis];
        own == B && wanted.is(c.importer().samples_in_file()))
      wanted = own;
  }
  const Shape target(std::move(extents));
  for (const Dim dim : target.dims())
    if (dim.factor < 0) c.fail(fmt::format("the shape {} has a negative extent", to_string(target)));
  const auto wide = broadcast(x.shape(), target);
  if (!wide) c.fail(fmt::format("{} does not broadcast to {}", to_string(x.type()), to_string(target)));
  c.result(c.apply("expand", {x}, ShapeAttributes{*wide}));
}

void tile(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const std::vector<Dim> repeats = c.dims_of(1, "repeats");
  const std::string list = to_string(Shape(repeats));
  if (repeats.size() != shape.rank())
    c.fail(fmt::format("repeats {} needs a number for each axis of {}", list, to_string(x.type())));
  // An axis that repeats is stretched from an extent of 1 before it.
  std::vector<Dim> split, wide, joined;
  for (std::size_t a = 0; a < shape.rank(); ++a) {
    if (repeats[a].factor < 0) c.fail(fmt::format("repeats {} has a negative number", list));
    c.keep_apart(!repeats[a].is(1) && shape[a].batch, "it repeats the batch");
    if (!repeats[a].is(1)) {
      split.emplace_back(1);
      wide.push_back(repeats[a]);
    }
    split.push_back(shape[a]);
    wide.push_back(shape[a]);
    const auto extent = multiplied(shape[a], repeats[a]);
    if (!extent) c.fail(fmt::format("repeats {} are too many", list));
    joined.push_back(*extent);
  }
  c.result(reshaped(c, c.apply("expand", {reshaped(c, x, split)}, ShapeAttributes{Shape(wide)}), joined));
}

const Shape& picture(const NodeContext& c, Expr x) {
  if (x.shape().rank() != 4) c.fail(fmt::format("x must be [N, C, H, W] but is {}", to_string(x.type())));
  for (std::size_t a = 1; a < 4; ++a)
    if (x.shape()[a].batch) c.fail(fmt::format("axis {} of {} is the batch", a, to_string(x.type())));
  return x.shape();
}

std::int64_t block_of(NodeContext& c) {
  const std::int64_t block = c.integer("blocksize", 0);
  if (block < 1 || block > 4096) c.fail(fmt::format("blocksize is {}", block));
  return block;
}

void depth_to_space(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& s = picture(c, x);
  const std::int64_t b = block_of(c), ch = s[1].factor, h = s[2].factor, w = s[3].factor;
  const std::string mode = c.text("mode", "DCR");
  if (ch % (b * b) != 0) c.fail(fmt::format("{} channels are not a multiple of {}", ch, b * b));
  const bool crd = mode == "CRD";
  if (!crd && mode != "DCR") c.fail(fmt::format("attribute 'mode' is '{}' but must be DCR or CRD", mode));
  const std::int64_t depth = ch / (b * b);
  const Expr parts = reshaped(
      c, x, crd ? std::vector<Dim>{s[0], depth, b, b, h, w} : std::vector<Dim>{s[0], b, b, depth, h, w});
  const Expr moved = c.apply("transpose", {parts},
                             TransposeAttributes{crd ? Ints{0, 1, 4, 2, 5, 3} : Ints{0, 3, 4, 1, 5, 2}});
  c.result(reshaped(c, moved, {s[0], depth, h * b, w * b}));
}

void space_to_depth(NodeContext& c) {
  const Expr x = c.operand(0);
  const Shape& s = picture(c, x);
  const std::int64_t b = block_of(c), ch = s[1].factor, h = s[2].factor, w = s[3].factor;
  if (h % b != 0 || w % b != 0) c.fail(fmt::format("blocks of {} do not divide {}", b, to_string(x.type())));
  const Expr parts = reshaped(c, x, {s[0], ch, h / b, b, w / b, b});
  c.result(reshaped(c, c.apply("transpose", {parts}, TransposeAttributes{{0, 3, 5, 1, 2, 4}}),
                    {s[0], ch * b * b, h / b, w / b}));
}

}  // namespace

void add_movement(Handlers& h) {
  h["Reshape"] = reshape;
  h["Flatten"] = flatten;
  h["Transpose"] = transpose;
  h["Concat"] = concat;
  h["Squeeze"] = squeeze;
  h["Unsqueeze"] = unsqueeze;
  h["Expand"] = expand;
  h["Tile"] = tile;
  h["DepthToSpace"] = depth_to_space;
  h["SpaceToDepth"] = space_to_depth;
}

}  // namespace rulegrad::io
