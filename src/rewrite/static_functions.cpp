#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/language_words.hpp"

/// Words of rules that are answered from shapes and attributes while a rule is applied.
namespace rulegrad {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::rule, what);
}

std::int64_t static_extent(Dim dim, const std::string& what) {
  if (dim.batch)
    throw Error(ErrorCode::shape,
                fmt::format("{} is the symbolic batch {}, which is not a number", what, to_string(dim)));
  return dim.factor;
}

std::int64_t static_extent(const Shape& shape, std::size_t axis) {
  return static_extent(shape[axis], fmt::format("axis {} of {}", axis, to_string(shape)));
}

std::size_t axis_of(double axis, std::size_t rank) {
  const auto whole = static_cast<std::int64_t>(axis);
  const std::int64_t from_front = whole < 0 ? whole + static_cast<std::int64_t>(rank) : whole;
  if (static_cast<double>(whole) != axis || from_front < 0 || from_front >= static_cast<std::int64_t>(rank))
    throw Error(ErrorCode::shape, fmt::format("axis {} does not exist in {} axes", axis, rank));
  return static_cast<std::size_t>(from_front);
}

/// The attribute of an operation that must have it.
template <class T>
T attribute(Expr operation, const std::string& name, const ValueCall& call) {
  if (!operation.attributes().type().has(name))
    refuse(fmt::format("{} takes an operation with the attribute '{}', which {} has not", call.term.name,
                       name, describe(operation)));
  return std::get<T>(operation.attributes().get(name));
}

/// Attributes of that type, of an operation that must be of that operator.
template <class T>
const T& attributes_of(Expr operation, std::string_view op, const ValueCall& call) {
  if (!operation.is(op))
    refuse(fmt::format("{} takes a {} here, not {}", call.term.name, op, describe(operation)));
  return operation.attributes<T>();
}

/// An axis by its number, or `channels`.
std::size_t channel_axis(const ValueCall& call, std::size_t position, std::size_t rank) {
  if (const auto* attribute = attribute_in(call.arguments[position]))
    if (const auto* word = std::get_if<std::string>(attribute))
      if (const auto axes = axes_of_set(*word, rank)) {
        if (axes->size() == 1) return static_cast<std::size_t>(axes->front());
        refuse(fmt::format("{} takes one axis, but {} are {} axes of {}", call.term.name, *word, axes->size(),
                           rank));
      }
  return axis_of(call.number(position), rank);
}

/// One number for each channel, shaped to multiply the weights [O, I / groups, kernel...] of an affine
/// operation. The weights of a transposed convolution are those of the convolution whose adjoint it is: its
/// inputs are their O.
Value channel_factors(const ValueCall& call, bool inputs) {
  if (std::holds_alternative<double>(call.arguments[0])) return call.arguments[0];
  Expr k = call.expr(0), y = call.expr(1);
  if (k.shape().rank() == 0) return k;
  if (k.op().position_of("w") && k.shape().rank() != 1) std::swap(k, y);  // y.in_channels(k)
  const auto position = y.op().position_of("w");
  if (!position) refuse(fmt::format("{} takes an affine operation, not {}", call.term.name, describe(y)));
  const Shape& weights = y.operand(*position).shape();
  const bool leading = (y.op().channels.value_or(ChannelAxes{}).weight == 0) != inputs;  // along O?
  const std::int64_t groups =
      y.attributes().type().has("groups") ? attribute<std::int64_t>(y, "groups", call) : 1;
  const Dim wanted = leading ? weights[0] : Dim(weights[1].factor * groups);
  if (k.shape().rank() != 1 || (k.shape()[0] != wanted && !k.shape()[0].is(1)))
    refuse(fmt::format("{} takes one number for each of the {} {} channels of {}, not {}", call.term.name,
                       to_string(wanted), inputs ? "input" : "output", describe(y), to_string(k.shape())));
  const auto reshaped = [&](Expr v, std::vector<Dim> dims) {
    return call.graph.apply(call.operators.at("reshape"), {v}, ShapeAttributes{Shape(std::move(dims))});
  };
  const std::size_t kernel_axes = weights.rank() - 2;
  const bool repeated = !leading && groups != 1 && !k.shape()[0].is(1);
  std::vector<Dim> dims{repeated ? weights[0] : leading ? k.shape()[0] : Dim{1}};
  dims.push_back(leading ? Dim{1} : repeated ? weights[1] : k.shape()[0]);
  dims.insert(dims.end(), kernel_axes, Dim{1});
  if (!repeated) return reshaped(k, std::move(dims));
  // Each of the O filters reads the channels of its own group.
  const Dim group(groups), each(weights[0].factor / groups);
  const Expr spread =
      call.graph.apply(call.operators.at("expand"), {reshaped(k, {group, Dim{1}, weights[1]})},
                       ShapeAttributes{Shape({group, each, weights[1]}, false)});
  return reshaped(spread, std::move(dims));
}

/// The shape of v as a vector over the output channels of y, whose other extents are 1: [C], or none for one
/// number. Nothing if v has other extents.
std::optional<Shape> channel_shape(Expr v, Expr y) {
  const std::size_t rank = y.shape().rank(), axes = v.shape().rank();
  if (axes > rank || rank < 2) return std::nullopt;
  const std::size_t channels = y.op().channel_axis(y).value_or(1);
  Shape result;
  for (std::size_t axis = 0; axis < axes; ++axis) {
    if (v.shape()[axis].is(1)) continue;
    if (axis + rank - axes != channels || v.shape()[axis] != y.shape()[channels]) return std::nullopt;
    result = Shape{v.shape()[axis]};
  }
  return result;
}

/// How many elements lie behind an axis; nothing where the batch is among them.
std::optional<std::int64_t> elements_behind(const Shape& shape, std::size_t axis) {
  std::int64_t count = 1;
  for (std::size_t i = axis + 1; i < shape.rank(); ++i) {
    if (shape[i].batch) return std::nullopt;
    count *= shape[i].factor;
  }
  return count;
}

/// The shape in which k, which stands beside the movement t, stands beside what t moves. Nothing where it has
/// several numbers along more than one axis, or along one that is not moved as a whole.
std::optional<Shape> shape_before(Expr k, Expr t) {
  if (t.operands().size() != 1 || k.shape().rank() > t.shape().rank()) return std::nullopt;
  const Shape &after = t.shape(), &original = t.operand(0).shape();
  const std::size_t offset = after.rank() - k.shape().rank();
  std::optional<std::size_t> axis;
  for (std::size_t i = 0; i < k.shape().rank(); ++i) {
    if (k.shape()[i].is(1)) continue;
    if (axis || k.shape()[i].batch || k.shape()[i] != after[offset + i]) return std::nullopt;
    axis = offset + i;
  }
  if (!axis) return Shape();
  std::optional<std::size_t> from;
  if (t.is("transpose")) {
    from = static_cast<std::size_t>(t.attributes<TransposeAttributes>().perm[*axis]);
  } else if (t.is("reshape")) {
    // The axis with as many entries, as far apart.
    const auto apart = elements_behind(after, *axis);
    for (std::size_t i = 0; i < original.rank() && apart; ++i)
      if (original[i] == after[*axis] && elements_behind(original, i) == apart) from = i;
  }
  if (!from) return std::nullopt;
  std::vector<Dim> dims(original.rank() - *from, Dim{1});
  dims[0] = after[*axis];
  return Shape(std::move(dims));
}

}  // namespace

std::optional<std::vector<std::int64_t>> axes_of_set(std::string_view word, std::size_t rank) {
  const bool channels = word == "channels", spatial = word == "spatial";
  if (!channels && !spatial && word != "per_sample") return std::nullopt;
  std::vector<std::int64_t> axes;
  for (std::size_t axis = spatial ? 2 : 1; axis < (channels ? std::min<std::size_t>(rank, 2) : rank); ++axis)
    axes.push_back(static_cast<std::int64_t>(axis));
  return axes;
}

namespace answers {

Value shape(const ValueCall& call) {
  return AttrValue(call.expr(0).shape().with_samples(false));
}

Value spatial(const ValueCall& call) {
  if (call.arguments.empty()) return AttrValue(std::string("spatial"));
  const Shape& shape = call.expr(0).shape();
  std::vector<std::int64_t> extents;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis) extents.push_back(static_extent(shape, axis));
  return AttrValue(std::move(extents));
}

Value rank(const ValueCall& call) {
  return static_cast<double>(call.expr(0).shape().rank());
}
Value dtype(const ValueCall& call) {
  return AttrValue(call.expr(0).dtype());
}

Value dim(const ValueCall& call) {
  const Shape& shape = call.expr(0).shape();
  return static_cast<double>(static_extent(shape, axis_of(call.number(1), shape.rank())));
}

Value axes_but(const ValueCall& call) {
  std::vector<std::int64_t> axes;
  const std::size_t rank = call.expr(0).shape().rank(), left_out = axis_of(call.number(1), rank);
  for (std::size_t axis = 0; axis < rank; ++axis)
    if (axis != left_out) axes.push_back(static_cast<std::int64_t>(axis));
  return AttrValue(std::move(axes));
}

Value axes_from(const ValueCall& call) {
  std::vector<std::int64_t> axes;
  const std::size_t rank = call.expr(0).shape().rank();
  for (std::size_t axis = axis_of(call.number(1), rank); axis < rank; ++axis)
    axes.push_back(static_cast<std::int64_t>(axis));
  return AttrValue(std::move(axes));
}

Value count(const ValueCall& call) {
  return static_cast<double>(call.numbers(0).size());
}

Value inverse(const ValueCall& call) {
  const std::vector<double> perm = call.numbers(0);
  std::vector<std::int64_t> result(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    result[axis_of(perm[i], perm.size())] = static_cast<std::int64_t>(i);
  return AttrValue(std::move(result));
}

/// Where the matched operand of a concatenation starts along its axis.
namespace {

/// Where the operands of concatenations begin, as far as was asked.
struct Offsets {
  std::unordered_map<Expr, std::vector<std::int64_t>> of;
};

}  // namespace

Value offset(const ValueCall& call) {
  const Expr y = call.expr(0);
  const std::size_t axis =
      axis_of(static_cast<double>(attribute<std::int64_t>(y, "axis", call)), y.shape().rank());
  // Asked for each operand, and there may be a hundred thousand: the graph keeps where those before it begin.
  auto known = call.graph.annex<Offsets>();
  if (known == nullptr) call.graph.set_annex(known = std::make_shared<Offsets>());
  std::vector<std::int64_t>& starts = known->of[y];
  if (starts.empty()) starts.push_back(0);
  while (starts.size() <= call.slot)
    starts.push_back(starts.back() +
                     static_extent(y.operand(starts.size() - 1).shape()[axis], "an extent before it"));
  return static_cast<double>(starts[call.slot]);
}

Value along(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return call.arguments[0];
  const Expr v = call.expr(0), like = call.expr(2);
  if (v.shape().rank() == 0) return v;
  const std::size_t axis = channel_axis(call, 1, like.shape().rank());
  if (v.shape().rank() != 1 || (v.shape()[0] != like.shape()[axis] && !v.shape()[0].is(1)))
    refuse(fmt::format("along puts one number for each of the {} entries of axis {} of {}, but was given {}",
                       to_string(like.shape()[axis]), axis, to_string(like.shape()), to_string(v.shape())));
  std::vector<Dim> dims{v.shape()[0]};
  dims.resize(like.shape().rank() - axis, Dim{1});
  return call.graph.apply(call.operators.at("reshape"), {v}, ShapeAttributes{Shape(std::move(dims))});
}

/// A number for each output, or input, channel of an affine operation, shaped to multiply its weights.
Value out_channels(const ValueCall& call) {
  return channel_factors(call, false);
}
Value in_channels(const ValueCall& call) {
  return channel_factors(call, true);
}

Value per_channel(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return 0.0;
  return channel_shape(call.expr(0), call.expr(1)) ? 1.0 : 0.0;
}

Value channel_vector(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return call.arguments[0];
  const Expr v = call.expr(0);
  const auto shape = channel_shape(v, call.expr(1));
  if (!shape)
    refuse(fmt::format("{} takes one number for each output channel of {}, not {}", call.term.name,
                       describe(call.expr(1)), to_string(v.shape())));
  const Expr vector = call.graph.apply(call.operators.at("reshape"), {v}, ShapeAttributes{*shape});
  if (shape->rank() == 1) return vector;
  // One number for all of them.
  const Expr y = call.expr(1);
  const Dim channels = y.shape()[y.op().channel_axis(y).value_or(1)];
  return call.graph.apply(call.operators.at("expand"), {vector}, ShapeAttributes{Shape({channels}, false)});
}

Value moved(const ValueCall& call) {
  Expr v = call.expr(0);
  while (v.is("transpose") || v.is("reshape")) v = v.operand(0);
  return v;
}

Value before(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return call.arguments[0];
  const auto shape = shape_before(call.expr(0), call.expr(1));
  if (!shape)
    refuse(fmt::format("before takes one number, or one for each entry of an axis that {} moves, not {}",
                       describe(call.expr(1)), to_string(call.expr(0).shape())));
  return call.graph.apply(call.operators.at("reshape"), {call.expr(0)}, ShapeAttributes{*shape});
}
Value has_before(const ValueCall& call) {
  return std::holds_alternative<double>(call.arguments[0]) || shape_before(call.expr(0), call.expr(1)) ? 1.0
                                                                                                       : 0.0;
}

Value channels(const ValueCall&) {
  return AttrValue(std::string("channels"));
}
Value per_sample(const ValueCall&) {
  return AttrValue(std::string("per_sample"));
}
/// As attributes that are shapes read it (define_attributes.hpp).
Value batch(const ValueCall&) {
  return -1.0;
}
Value range(const ValueCall& call) {
  return AttrValue(std::vector<double>{call.number(0), call.number(1)});
}

/// Does a pad leave batch and channels alone and add only at the spatial axes?
Value pads_space_only(const ValueCall& call) {
  const auto& pad = attributes_of<PadAttributes>(call.expr(0), "pad", call);
  bool space_only = pad.begin.size() >= 3;
  for (std::size_t axis = 0; axis < pad.begin.size(); ++axis)
    space_only = space_only && (axis < 2 ? pad.begin[axis] == 0 && pad.end[axis] == 0
                                         : pad.begin[axis] >= 0 && pad.end[axis] >= 0);
  return space_only ? 1.0 : 0.0;
}

Value one_number(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return 1.0;
  Expr v = call.expr(0);
  while (v.is("transpose") || v.is("reshape") || v.is("expand")) v = v.operand(0);
  if (fill_of(v)) return 1.0;
  if (!is_constant(v)) return 0.0;
  const Tensor& value = v.attributes<ConstantAttributes>().value;
  for (std::int64_t i = 1; i < value.size(); ++i)
    if (!(value.at(i) == value.at(0))) return 0.0;
  return 1.0;
}

Value merge_padding(const ValueCall& call) {
  const Expr y = call.expr(0), padded = call.expr(1);
  auto merged = attributes_of<ConvAttributes>(y, "conv", call);
  const auto& pad = attributes_of<PadAttributes>(padded, "pad", call);
  for (std::size_t axis = 0; axis < merged.strides.size(); ++axis) {
    merged.pads_begin[axis] += pad.begin[axis + 2];
    merged.pads_end[axis] += pad.end[axis + 2];
  }
  return call.graph.apply(y.op(), {padded.operand(0), y.operand(1), y.operand(2)}, merged);
}

}  // namespace answers
}  // namespace rulegrad
