#include "rulegrad/ops/random.hpp"

#include <fmt/format.h>

#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::RandomAttributes, key, stream, dtype, shape);
BOOST_HANA_ADAPT_STRUCT(rulegrad::RandomIndexAttributes, key, stream, count);
BOOST_HANA_ADAPT_STRUCT(rulegrad::WindowMaskAttributes, extents, window, strides, wrap);

namespace rulegrad {

template <>
const AttrType& attr_type<RandomAttributes>() {
  static const AttrType type = derive_attr_type<RandomAttributes>("random");
  return type;
}
template <>
const AttrType& attr_type<RandomIndexAttributes>() {
  static const AttrType type = derive_attr_type<RandomIndexAttributes>("random_index");
  return type;
}
template <>
const AttrType& attr_type<WindowMaskAttributes>() {
  static const AttrType type = derive_attr_type<WindowMaskAttributes>("window_mask");
  return type;
}

namespace {

using infer::Numbers;

/// row [B] and sample, a number.
void check_places(const std::string& op, std::span<const Type> operands) {
  infer::require(op, "row", operands[0], Numbers::index);
  infer::require(op, "sample", operands[1], Numbers::index);
  if (operands[0].shape.rank() != 1)
    infer::fail(op, fmt::format("row {} must be [B]", to_string(operands[0])));
  if (operands[1].shape.rank() != 0)
    infer::fail(op, fmt::format("sample {} must be a single number", to_string(operands[1])));
}

/// Each row has its numbers; which, its place says.
void draws_rows(OpSchema& s, IntervalOf interval) {
  s.interval = std::move(interval);
  s.batch = batches::in_front;
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
}

OpSchema random_numbers(std::string name, const std::string& what, IntervalOf interval) {
  OpSchema s;
  draws_rows(s, std::move(interval));
  s.name = name;
  s.doc = what +
          " of `shape` [B, ...]: a pure function of key, stream, row (the global batch index), sample and "
          "element";
  s.operands = {{"row", Role::parameter}, {"sample", Role::parameter}};
  s.attributes = &attr_type<RandomAttributes>();
  s.infer = [name](std::span<const Type> operands, const Attributes& attributes) {
    check_places(name, operands);
    const auto& random = attributes.as<RandomAttributes>();
    if (!is_floating(random.dtype))
      infer::fail(name, fmt::format("gives float32 or float64, not {}", name_of(random.dtype)));
    if (random.shape.rank() == 0 || random.shape[0] != operands[0].shape[0])
      infer::fail(name, fmt::format("the first axis of its shape {} must be that of row {}",
                                    to_string(random.shape), to_string(operands[0])));
    return Type{random.dtype, random.shape};
  };
  const ExampleOperand row{.dims = {3}, .low = 0, .high = 9, .dtype = DType::int64};
  const ExampleOperand sample{.dims = {}, .low = 0, .high = 5, .dtype = DType::int64};
  s.examples = fixed_examples({{{row, sample}, RandomAttributes{1, 0, DType::float64, Shape{3, 4}}},
                               {{row, sample}, RandomAttributes{7, 1, DType::float64, Shape{3}}},
                               {{row, sample}, RandomAttributes{0, 0, DType::float32, Shape{3, 1, 5}}}});
  return s;
}

OpSchema random_indices() {
  OpSchema s;
  draws_rows(s, intervals::anything);
  s.name = "random_index";
  s.doc = "an index below `count` for each row: a pure function of key, stream, row and sample";
  s.operands = {{"row", Role::parameter}, {"sample", Role::parameter}};
  s.attributes = &attr_type<RandomIndexAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    check_places("random_index", operands);
    if (const auto count = attributes.as<RandomIndexAttributes>().count; count < 1)
      infer::fail("random_index", fmt::format("count is {} but must be 1 or more", count));
    return Type{DType::int64, operands[0].shape};
  };
  s.examples = fixed_examples({{{{.dims = {4}, .low = 0, .high = 9, .dtype = DType::int64},
                                 {.dims = {}, .low = 0, .high = 5, .dtype = DType::int64}},
                                RandomIndexAttributes{3, 0, 10}}});
  return s;
}

OpSchema window_masks() {
  OpSchema s;
  s.name = "window_mask";
  s.interval = intervals::anything;
  s.batch = batches::mixing;
  s.decides = decisions::each({Asks::zero});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.without = {"derivative"};
  s.doc =
      "true inside of window i: windows of the extents `window` lie `strides` apart over an array of "
      "`extents`, "
      "row-major, and the last ones are cut at the border; with `wrap` they begin at every stride and go on "
      "at the other end";
  s.operands = {{"i", Role::parameter}};
  s.attributes = &attr_type<WindowMaskAttributes>();
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    infer::require("window_mask", "i", operands[0], Numbers::index);
    const auto& mask = attributes.as<WindowMaskAttributes>();
    if (operands[0].shape.rank() != 0)
      infer::fail("window_mask", fmt::format("i {} must be a single number", to_string(operands[0])));
    if (mask.window.size() != mask.extents.size() || mask.strides.size() != mask.extents.size())
      infer::fail("window_mask",
                  fmt::format("window {} and strides {} must have an entry for each of the extents {}",
                              to_string(AttrValue(mask.window)), to_string(AttrValue(mask.strides)),
                              to_string(AttrValue(mask.extents))));
    for (std::size_t axis = 0; axis < mask.extents.size(); ++axis)
      if (mask.extents[axis] < 1 || mask.window[axis] < 1 || mask.strides[axis] < 1)
        infer::fail("window_mask", "extents, window and strides must be 1 or more");
    return Type{DType::boolean, Shape::of(mask.extents)};
  };
  const auto i = [](double high) {
    return ExampleOperand{.dims = {}, .low = 0, .high = high, .dtype = DType::int64};
  };
  s.examples =
      fixed_examples({{{i(3)}, WindowMaskAttributes{{1, 1, 4, 5}, {1, 1, 2, 3}, {1, 1, 2, 2}}},
                      {{i(2)}, WindowMaskAttributes{{1, 7}, {1, 3}, {1, 3}}},
                      {{i(11)}, WindowMaskAttributes{{1, 1, 4, 5}, {1, 1, 2, 3}, {1, 1, 1, 2}, true}}});
  return s;
}

}  // namespace

std::vector<OpSchema> random_operators() {
  std::vector<OpSchema> all;
  all.push_back(random_numbers("random_normal", "standard normal numbers", intervals::anything));
  all.push_back(
      random_numbers("random_uniform", "numbers uniform in [0, 1)", intervals::within(intervals::unit)));
  all.push_back(random_indices());
  all.push_back(window_masks());
  return all;
}

}  // namespace rulegrad
