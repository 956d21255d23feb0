#include <fmt/format.h>

#include <algorithm>

#include "rewrite/evaluate.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/op_attributes.hpp"

/// Functions of rules that are answered from shapes and attributes while a rule is applied.
namespace rulegrad {
namespace {

std::int64_t static_extent(Dim dim, const std::string& what) {
  if (dim.batch) throw Error(ErrorCode::shape, fmt::format("{} is the symbolic batch {}, which is not a number", what, to_string(dim)));
  return dim.factor;
}

std::size_t axis_of(double axis, std::size_t rank) {
  const auto whole = static_cast<std::int64_t>(axis);
  const std::int64_t from_front = whole < 0 ? whole + static_cast<std::int64_t>(rank) : whole;
  if (static_cast<double>(whole) != axis || from_front < 0 || from_front >= static_cast<std::int64_t>(rank))
    throw Error(ErrorCode::shape, fmt::format("axis {} does not exist in {} axes", axis, rank));
  return static_cast<std::size_t>(from_front);
}

AttrValue extents_from(const Shape& shape, std::size_t first) {
  std::vector<std::int64_t> extents;
  for (std::size_t axis = first; axis < shape.rank(); ++axis)
    extents.push_back(static_extent(shape[axis], fmt::format("axis {} of {}", axis, to_string(shape))));
  return extents;
}

std::vector<double> numbers_of(const AttrValue& value) {
  if (const auto* doubles = std::get_if<std::vector<double>>(&value)) return *doubles;
  if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) return {integers->begin(), integers->end()};
  throw Error(ErrorCode::rule, fmt::format("expected a list of numbers, not {}", to_string(value)));
}

}  // namespace

std::optional<Value> Evaluator::call_static(const Term& term, std::span<const Value> arguments) {
  const auto expr = [&](std::size_t i) -> Expr {
    if (i < arguments.size())
      if (const auto* value = std::get_if<Expr>(&arguments[i])) return *value;
    fail(term, fmt::format("{} takes an expression as argument {}", term.name, i + 1));
  };
  const auto number = [&](std::size_t i) -> double {
    if (i < arguments.size())
      if (const auto* value = std::get_if<double>(&arguments[i])) return *value;
    fail(term, fmt::format("{} takes a number as argument {}", term.name, i + 1));
  };
  try {
    if (term.name == "shape") return AttrValue(expr(0).shape().with_samples(false));
    if (term.name == "spatial" || term.name == "kernel") return extents_from(expr(0).shape(), 2);
    if (term.name == "axes_but") {
      std::vector<std::int64_t> axes;
      const std::size_t rank = expr(0).shape().rank(), left_out = axis_of(number(1), rank);
      for (std::size_t axis = 0; axis < rank; ++axis)
        if (axis != left_out) axes.push_back(static_cast<std::int64_t>(axis));
      return AttrValue(std::move(axes));
    }
    if (term.name == "axes_from") {
      std::vector<std::int64_t> axes;
      const std::size_t rank = expr(0).shape().rank();
      for (std::size_t axis = axis_of(number(1), rank); axis < rank; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
      return AttrValue(std::move(axes));
    }
    if (term.name == "rank") return static_cast<double>(expr(0).shape().rank());
    if (term.name == "dtype") return AttrValue(expr(0).dtype());
    if (term.name == "dim" || term.name == "extent") {
      const Shape& shape = expr(0).shape();
      const std::size_t axis = axis_of(number(1), shape.rank());
      return static_cast<double>(static_extent(shape[axis], fmt::format("axis {} of {}", axis, to_string(shape))));
    }
    if (term.name == "inverse") {
      const auto* list = arguments.size() == 1 ? std::get_if<AttrValue>(&arguments[0]) : nullptr;
      if (list == nullptr) fail(term, "inverse takes a permutation such as y.perm");
      const std::vector<double> perm = numbers_of(*list);
      std::vector<std::int64_t> inverse(perm.size());
      for (std::size_t i = 0; i < perm.size(); ++i) inverse[axis_of(perm[i], perm.size())] = static_cast<std::int64_t>(i);
      return AttrValue(std::move(inverse));
    }
    if (term.name == "offset") {
      // Where the matched operand of a concatenation starts along its axis.
      const Expr y = expr(0);
      const std::size_t axis = axis_of(static_cast<double>(std::get<std::int64_t>(y.attributes().get("axis"))), y.shape().rank());
      std::int64_t start = 0;
      for (std::size_t i = 0; i < slot_; ++i) start += static_extent(y.operand(i).shape()[axis], "an extent before it");
      return static_cast<double>(start);
    }
    if (term.name == "along") {
      if (arguments.size() == 3 && std::holds_alternative<double>(arguments[0])) return arguments[0];
      const Expr v = expr(0), like = expr(2);
      if (v.shape().rank() == 0) return v;
      const std::size_t axis = axis_of(number(1), like.shape().rank());
      if (v.shape().rank() != 1 || (v.shape()[0] != like.shape()[axis] && !v.shape()[0].is(1)))
        fail(term, fmt::format("along puts one number for each of the {} entries of axis {} of {}, but was given {}",
                               to_string(like.shape()[axis]), axis, to_string(like.shape()), to_string(v.shape())));
      std::vector<Dim> dims{v.shape()[0]};
      dims.resize(like.shape().rank() - axis, Dim{1});
      return graph_.apply(operators_.at("reshape"), {v}, ShapeAttributes{Shape(std::move(dims))});
    }
    if (term.name == "out_channels") {
      // A number for each output channel of an affine operation, shaped to multiply its weights.
      const Expr k = expr(0), y = expr(1);
      const Expr w = y.operand(y.op().position_of("w").value_or(0));
      const bool transposed = y.is("conv_transpose");
      if (transposed && std::get<std::int64_t>(y.attributes().get("groups")) != 1)
        fail(term, "out_channels of a grouped transposed convolution is not a broadcast of its weights");
      std::vector<Dim> dims{k.shape()[0]};
      dims.resize(w.shape().rank() - (transposed ? 1 : 0), Dim{1});
      return graph_.apply(operators_.at("reshape"), {k}, ShapeAttributes{Shape(std::move(dims))});
    }
    if (term.name == "pads_space_only") {
      // Does a pad leave batch and channels alone and add only at the spatial axes?
      const auto& pad = expr(0).attributes<PadAttributes>();
      bool space_only = pad.begin.size() >= 3;
      for (std::size_t axis = 0; axis < pad.begin.size(); ++axis)
        space_only = space_only && (axis < 2 ? pad.begin[axis] == 0 && pad.end[axis] == 0 : pad.begin[axis] >= 0 && pad.end[axis] >= 0);
      return space_only ? 1.0 : 0.0;
    }
    if (term.name == "merge_padding") {
      const Expr y = expr(0), padded = expr(1);
      auto merged = y.attributes<ConvAttributes>();
      const auto& pad = padded.attributes<PadAttributes>();
      for (std::size_t axis = 0; axis < merged.strides.size(); ++axis) {
        merged.pads_begin[axis] += pad.begin[axis + 2];
        merged.pads_end[axis] += pad.end[axis + 2];
      }
      return graph_.apply(y.op(), {padded.operand(0), y.operand(1), y.operand(2)}, merged);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::rule) throw;
    fail(term, error.what());
  }
  return std::nullopt;
}

}  // namespace rulegrad
