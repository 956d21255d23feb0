#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

void constant(NodeContext& c) {
  const auto number = [&](double value, DType dtype) {
    c.result(c.graph().constant(Tensor::scalar(dtype, value)));
  };
  if (const auto* const tensor = c.tensor("value"))
    return c.result(c.importer().constant(*tensor, c.node_name()));
  if (c.has_attribute("value_float")) return number(c.real("value_float", 0), c.importer().real());
  if (c.has_attribute("value_int")) {
    const std::int64_t value = c.any_integer("value_int", 0);
    return c.result(c.graph().constant(Tensor(Dims{}, std::span<const std::int64_t>(&value, 1))));
  }
  if (c.has_attribute("value_ints")) {
    const Ints list = c.integers("value_ints", {}, Beyond::keep);
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
  Tensor number = Tensor::scalar(dtype, 0);
  if (const auto* const tensor = c.tensor("value")) {
    number = c.importer().read(*tensor, c.node_name());
    if (number.size() != 1) c.fail(fmt::format("its value has {} elements", number.size()));
    dtype = number.dtype();
    number = number.reshaped({});
  }
  const double value = number.at(0);
  // Numbers that are none are followed as constants; whole ones of this size are not all doubles.
  if (is_floating(dtype) ? !std::isfinite(value) : !(std::abs(value) < 0x1p53))
    return c.result(c.apply("expand", {c.graph().constant(number)}, ShapeAttributes{Shape(dims)}));
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
  if (const Value& limit = c.value(1);
      limit.symbolic && limit.symbolic->elements.size() == 1 && limit.symbolic->elements[0] == B &&
      c.required_constant(0, "start").at(0) == 0 && c.required_constant(2, "delta").at(0) == 1)
    return c.result(place_in_batch(c));
  const Tensor start = c.required_constant(0, "start"), limit = c.required_constant(1, "limit"),
               delta = c.required_constant(2, "delta");
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1)
    c.fail("start, limit and delta must be numbers");
  const double from = start.at(0), step = delta.at(0);
  const double count = std::max(0.0, std::ceil((limit.at(0) - from) / step));
  if (step == 0 || !(count < 0x1p28))
    c.fail(fmt::format("from {} to {} by {} is no range", from, limit.at(0), step));
  Tensor values = c.array(DType::float64, {static_cast<std::int64_t>(count)});
  const auto to = values.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = from + static_cast<double>(i) * step;
  c.result(c.graph().constant(values.cast(start.dtype())));
}

}  // namespace

void add_constants(Handlers& h) {
  h["Constant"] = constant;
  h["ConstantOfShape"] = constant_of_shape;
  h["Shape"] = shape_of;
  h["Size"] = size_of_array;
  h["Range"] = range;
}

}  // namespace rulegrad::io
