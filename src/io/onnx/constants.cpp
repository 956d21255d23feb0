#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/leaves.hpp"

#include "io/onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

void constant(NodeContext& c) {
  const auto number = [&](double value, DType dtype) {
    c.result(c.graph().constant(Tensor::scalar(dtype, value)));
  };
  if (const auto* const tensor = c.tensor("value"))
    return c.result(c.graph().constant(c.importer().read(*tensor, c.node_name())));
  if (c.has_attribute("value_float")) return number(c.real("value_float", 0), c.importer().real());
  if (c.has_attribute("value_int"))
    return number(static_cast<double>(c.integer("value_int", 0)), DType::int64);
  if (c.has_attribute("value_ints")) {
    const Ints list = c.integers("value_ints");
    return c.result(c.graph().constant(
        Tensor({static_cast<std::int64_t>(list.size())}, std::span<const std::int64_t>(list))));
  }
  if (c.has_attribute("value_floats")) {
    const std::vector<double> list = c.reals("value_floats");
    return c.result(
        c.graph().constant(Tensor({static_cast<std::int64_t>(list.size())}, std::span<const double>(list))
                               .cast(c.importer().real())));
  }
  c.fail("it holds no tensor, number or list of numbers");
}

void constant_of_shape(NodeContext& c) {
  const std::vector<Dim> dims = c.dims_of(0, "the shape");
  double count = 1;
  for (const Dim dim : dims) {
    if (dim.factor < 0) c.fail(fmt::format("the shape {} has a negative extent", to_string(Shape(dims))));
    count *= static_cast<double>(dim.factor);
  }
  if (count > 0x1p40) c.fail(fmt::format("the shape {} is too large", to_string(Shape(dims))));
  DType dtype = c.importer().real();
  double value = 0;
  if (const auto* const tensor = c.tensor("value")) {
    const Tensor number = c.importer().read(*tensor, c.node_name());
    if (number.size() != 1) c.fail(fmt::format("its value has {} elements", number.size()));
    dtype = number.dtype();
    value = number.at(0);
  }
  c.result(c.apply("fill", {}, FillAttributes{value, dtype, Shape(dims)}));
}

/// Extents from `start` to `end`, which count from the end where they are negative.
void shape_of(NodeContext& c) {
  const Shape& shape = c.shape(0);
  const auto rank = static_cast<std::int64_t>(shape.rank());
  const auto place = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t start = place(c.integer("start", 0)),
                     end = std::max(start, place(c.integer("end", rank)));
  c.result(Symbolic{{end - start}, {shape.dims().begin() + start, shape.dims().begin() + end}, DType::int64});
}

void size_of_array(NodeContext& c) {
  c.result(Symbolic{{}, {c.shape(0).count()}, DType::int64});
}

void range(NodeContext& c) {
  const Tensor start = c.required_constant(0, "start"), limit = c.required_constant(1, "limit"),
               delta = c.required_constant(2, "delta");
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1)
    c.fail("start, limit and delta must be numbers");
  const double from = start.at(0), step = delta.at(0);
  const double count = std::max(0.0, std::ceil((limit.at(0) - from) / step));
  if (step == 0 || !(count < 0x1p28))
    c.fail(fmt::format("from {} to {} by {} is no range", from, limit.at(0), step));
  Tensor values = Tensor::uninitialized(DType::float64, {static_cast<std::int64_t>(count)});
  const auto to = values.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = from + static_cast<double>(i) * step;
  c.result(c.graph().constant(values.cast(start.dtype())));
}

/// A number, or one for each index of `axis`, shaped to stand beside x.
Expr beside(const NodeContext& c, Expr parameter, const Shape& x, std::int64_t axis) {
  if (parameter.shape().count().is(1)) return reshaped(c, parameter, {});
  if (parameter.shape().rank() != 1)
    c.fail(
        fmt::format("scale and zero point must be numbers or vectors but one is {}; blocks are not supported",
                    to_string(parameter.type())));
  const std::size_t place = checked_axis(c, axis, x.rank());
  std::vector<Dim> dims(x.rank() - place, Dim{1});
  dims[0] = parameter.shape()[0];
  return reshaped(c, parameter, std::move(dims));
}

/// (x - zero point) scale.
void dequantize(NodeContext& c) {
  const Expr x = c.operand(0), scale = c.operand(1);
  const std::int64_t axis = c.integer("axis", 1);
  if (c.integer("block_size", 0) != 0) c.fail("attribute 'block_size' is not supported");
  const auto as_real = [&](Expr expr) { return c.apply("cast", {expr}, CastAttributes{scale.dtype()}); };
  Expr y = as_real(x);
  if (c.has(2)) y = c.apply("sub", {y, beside(c, as_real(c.operand(2)), x.shape(), axis)});
  c.result(c.apply("mul", {y, beside(c, scale, x.shape(), axis)}));
}

/// round(x / scale) + zero point within the type's range, for weights; rounding what depends on an input
/// would leave nothing to explain.
void quantize(NodeContext& c) {
  const Expr x = c.operand(0), scale = c.operand(1);
  const std::int64_t axis = c.integer("axis", 1);
  c.ignore({"saturate"});
  if (c.integer("block_size", 0) != 0 || c.integer("output_dtype", 0) != 0)
    c.fail("attributes 'block_size' and 'output_dtype' are not supported");
  if (!c.is_static(x))
    c.fail(
        "it quantises activations, whose rounding has no derivative; explain the model before it was "
        "quantised");
  const DType dtype = c.has(2) ? c.operand(2).dtype() : DType::uint8;
  if (dtype != DType::uint8 && dtype != DType::int8)
    c.fail(fmt::format("{} as the quantised type is not supported", name_of(dtype)));
  Expr y = c.apply("round", {c.apply("div", {x, beside(c, scale, x.shape(), axis)})});
  if (c.has(2))
    y = c.apply("add",
                {y, beside(c, c.apply("cast", {c.operand(2)}, CastAttributes{x.dtype()}), x.shape(), axis)});
  const ClipAttributes bounds = dtype == DType::uint8 ? ClipAttributes{0, 255} : ClipAttributes{-128, 127};
  c.result(c.apply("cast", {c.apply("clip", {y}, bounds)}, CastAttributes{dtype}));
}

}  // namespace

void add_constants(Handlers& h) {
  h["Constant"] = constant;
  h["ConstantOfShape"] = constant_of_shape;
  h["Shape"] = shape_of;
  h["Size"] = size_of_array;
  h["Range"] = range;
  h["DequantizeLinear"] = dequantize;
  h["QuantizeLinear"] = quantize;
}

}  // namespace rulegrad::io
