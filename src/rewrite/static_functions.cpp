#include <fmt/format.h>

#include <algorithm>

#include "rewrite/words.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/op_attributes.hpp"

/// Words of rules that are answered from shapes and attributes while a rule is applied.
namespace rulegrad {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::rule, what); }

std::int64_t static_extent(Dim dim, const std::string& what) {
  if (dim.batch) throw Error(ErrorCode::shape, fmt::format("{} is the symbolic batch {}, which is not a number", what, to_string(dim)));
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
    refuse(fmt::format("{} takes an operation with the attribute '{}', which {} has not", call.term.name, name, describe(operation)));
  return std::get<T>(operation.attributes().get(name));
}

/// Attributes of that type, of an operation that must be of that operator.
template <class T>
const T& attributes_of(Expr operation, std::string_view op, const ValueCall& call) {
  if (!operation.is(op)) refuse(fmt::format("{} takes a {} here, not {}", call.term.name, op, describe(operation)));
  return operation.attributes<T>();
}

}  // namespace

namespace answers {

Value shape(const ValueCall& call) { return AttrValue(call.expr(0).shape().with_samples(false)); }

Value spatial(const ValueCall& call) {
  const Shape& shape = call.expr(0).shape();
  std::vector<std::int64_t> extents;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis) extents.push_back(static_extent(shape, axis));
  return AttrValue(std::move(extents));
}

Value rank(const ValueCall& call) { return static_cast<double>(call.expr(0).shape().rank()); }
Value dtype(const ValueCall& call) { return AttrValue(call.expr(0).dtype()); }

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
  for (std::size_t axis = axis_of(call.number(1), rank); axis < rank; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  return AttrValue(std::move(axes));
}

Value inverse(const ValueCall& call) {
  const std::vector<double> perm = call.numbers(0);
  std::vector<std::int64_t> result(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i) result[axis_of(perm[i], perm.size())] = static_cast<std::int64_t>(i);
  return AttrValue(std::move(result));
}

/// Where the matched operand of a concatenation starts along its axis.
Value offset(const ValueCall& call) {
  const Expr y = call.expr(0);
  const std::size_t axis = axis_of(static_cast<double>(attribute<std::int64_t>(y, "axis", call)), y.shape().rank());
  std::int64_t start = 0;
  for (std::size_t i = 0; i < call.slot; ++i) start += static_extent(y.operand(i).shape()[axis], "an extent before it");
  return static_cast<double>(start);
}

Value along(const ValueCall& call) {
  if (std::holds_alternative<double>(call.arguments[0])) return call.arguments[0];
  const Expr v = call.expr(0), like = call.expr(2);
  if (v.shape().rank() == 0) return v;
  const std::size_t axis = axis_of(call.number(1), like.shape().rank());
  if (v.shape().rank() != 1 || (v.shape()[0] != like.shape()[axis] && !v.shape()[0].is(1)))
    refuse(fmt::format("along puts one number for each of the {} entries of axis {} of {}, but was given {}",
                       to_string(like.shape()[axis]), axis, to_string(like.shape()), to_string(v.shape())));
  std::vector<Dim> dims{v.shape()[0]};
  dims.resize(like.shape().rank() - axis, Dim{1});
  return call.graph.apply(call.operators.at("reshape"), {v}, ShapeAttributes{Shape(std::move(dims))});
}

/// A number for each output channel of an affine operation, shaped to multiply its weights.
Value out_channels(const ValueCall& call) {
  const Expr k = call.expr(0), y = call.expr(1);
  const auto weights = y.op().position_of("w");
  if (!weights) refuse(fmt::format("out_channels takes an affine operation, not {}", describe(y)));
  if (k.shape().rank() != 1) refuse(fmt::format("out_channels takes one number for each channel, not {}", to_string(k.shape())));
  const bool transposed = y.is("conv_transpose");
  if (transposed && attribute<std::int64_t>(y, "groups", call) != 1)
    refuse("out_channels of a grouped transposed convolution is not a broadcast of its weights");
  std::vector<Dim> dims{k.shape()[0]};
  dims.resize(y.operand(*weights).shape().rank() - (transposed ? 1 : 0), Dim{1});
  return call.graph.apply(call.operators.at("reshape"), {k}, ShapeAttributes{Shape(std::move(dims))});
}

/// Does a pad leave batch and channels alone and add only at the spatial axes?
Value pads_space_only(const ValueCall& call) {
  const auto& pad = attributes_of<PadAttributes>(call.expr(0), "pad", call);
  bool space_only = pad.begin.size() >= 3;
  for (std::size_t axis = 0; axis < pad.begin.size(); ++axis)
    space_only = space_only && (axis < 2 ? pad.begin[axis] == 0 && pad.end[axis] == 0 : pad.begin[axis] >= 0 && pad.end[axis] >= 0);
  return space_only ? 1.0 : 0.0;
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
