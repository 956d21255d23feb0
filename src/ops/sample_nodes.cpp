#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::SampleIndexAttributes, depth, count);
BOOST_HANA_ADAPT_STRUCT(rulegrad::BatchIndexAttributes, shape);
BOOST_HANA_ADAPT_STRUCT(rulegrad::ReduceSamplesAttributes, kind, depth, count);

namespace rulegrad {

template <>
struct enum_words<SampleReduction> {
  static constexpr std::array<std::string_view, 5> words{"sum", "mean", "var", "max", "stack"};
};

template <>
const AttrType& attr_type<SampleIndexAttributes>() {
  static const AttrType type = derive_attr_type<SampleIndexAttributes>("sample_index");
  return type;
}
template <>
const AttrType& attr_type<BatchIndexAttributes>() {
  static const AttrType type = derive_attr_type<BatchIndexAttributes>("batch_index");
  return type;
}
template <>
const AttrType& attr_type<ReduceSamplesAttributes>() {
  static const AttrType type = derive_attr_type<ReduceSamplesAttributes>("reduce_samples");
  return type;
}

namespace {

void check_loop(const std::string& op, std::int64_t depth, std::int64_t count) {
  if (depth < 0 || depth >= most_loops || count < 1)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[{}] loops have a depth below {} and at least one sample, not depth {} and {} samples",
                    op, most_loops, depth, count));
}

std::uint32_t bit(std::int64_t depth) {
  return std::uint32_t{1} << depth;
}

}  // namespace

const OpSchema& sample_index_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "sample_index";
    s.doc = "The number of the sample in a loop of `count` samples.";
    s.attributes = &attr_type<SampleIndexAttributes>();
    s.interval = intervals::anything;
    s.batch = batches::nowhere;
    s.decides = decisions::none;
    s.finite = finite::always;
    s.passes = passing::anything;
    s.without = {"derivative"};
    s.infer = [](std::span<const Type>, const Attributes& attributes) {
      const auto& loop = attributes.as<SampleIndexAttributes>();
      check_loop("sample_index", loop.depth, loop.count);
      return Type{DType::int64, Shape{}};
    };
    s.loops = [](std::uint32_t, const Attributes& attributes) {
      return bit(attributes.as<SampleIndexAttributes>().depth);
    };
    return s;
  }();
  return schema;
}

const OpSchema& batch_index_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "batch_index";
    s.doc = "The position of each entry of the batch in everything that is explained, over all runs.";
    s.attributes = &attr_type<BatchIndexAttributes>();
    s.interval = intervals::anything;
    s.batch = batches::declared;
    s.decides = decisions::none;
    s.finite = finite::always;
    s.passes = passing::anything;
    s.without = {"derivative"};
    s.infer = [](std::span<const Type>, const Attributes& attributes) {
      const Shape& shape = attributes.as<BatchIndexAttributes>().shape;
      if (shape.rank() != 1)
        infer::fail("batch_index", fmt::format("its shape must be [B], not {}", to_string(shape)));
      return Type{DType::int64, shape};
    };
    return s;
  }();
  return schema;
}

const OpSchema& reduce_samples_schema() {
  static const OpSchema schema = [] {
    OpSchema s;
    s.name = "reduce_samples";
    s.doc =
        "The sum, mean, variance or maximum over the samples of a loop, or all of them under a new first "
        "axis.";
    s.operands = {{"x"}};
    s.attributes = &attr_type<ReduceSamplesAttributes>();
    s.interval = intervals::anything;
    s.batch = [](Expr value, batches::Places operands) {
      BatchPlace at = *operands[0];
      at.axis += value.shape().rank() - value.operand(0).shape().rank();
      return BatchFlow{false, at};
    };
    s.decides = decisions::none;
    s.finite = finite::always;
    s.passes = passing::anything;
    s.without = {"derivative"};
    s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
      const auto& reduce = attributes.as<ReduceSamplesAttributes>();
      check_loop("reduce_samples", reduce.depth, reduce.count);
      if (!is_floating(operands[0].dtype))
        infer::fail("reduce_samples", fmt::format("x {} must be floating; cast it", to_string(operands[0])));
      if (reduce.kind != SampleReduction::stack) return operands[0];
      std::vector<Dim> dims = operands[0].shape.dims();
      dims.insert(dims.begin(), Dim{reduce.count});
      return Type{operands[0].dtype, Shape(std::move(dims))};
    };
    s.loops = [](std::uint32_t operands, const Attributes& attributes) {
      return operands & ~bit(attributes.as<ReduceSamplesAttributes>().depth);
    };
    return s;
  }();
  return schema;
}

}  // namespace rulegrad
